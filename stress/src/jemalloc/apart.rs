//! Mappings that never touch one another: behind each lies a page that nobody can use.
//!
//! jemalloc (5.3.1, with its default `retain:true`) coalesces what is adjacent without asking whose it is. That two arenas
//! stay apart rests on a mark: no extent is joined to a lower one if it *begins* a mapping. Hooks that give a mapping
//! back in parts undo this, for what is left of it no longer begins with the marked extent. If the kernel then maps
//! memory for another arena into the hole, jemalloc joins the two, under the lock of one of them, and crashes.
//!
//! With the gap, a mapping's end never touches what was there before it, and what comes after it is the beginning of a
//! mapping, which is marked.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::jemalloc::mapping::{self, PAGE, bytes_of, span_of};
use crate::span::Span;

/// Where the gaps are: each is given back together with the end of its mapping.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    gaps: Mutex<BTreeSet<u64>>,
}

impl Apart {
    /// As [`mapping::map`], with a gap behind it.
    pub(crate) fn map(&self, bytes: u64, alignment: u64) -> Option<Span> {
        mapping::map(bytes.checked_add(PAGE)?, alignment).and_then(|both| self.fence(both))
    }

    /// As [`mapping::map_at`], with a gap behind it.
    pub(crate) fn map_at(&self, start: u64, bytes: u64) -> Option<Span> {
        mapping::map_at(start, bytes.checked_add(PAGE)?).and_then(|both| self.fence(both))
    }

    /// Gives a mapping, or a part of one, back, its end with the gap; false if the kernel refused, and then nothing has
    /// changed.
    ///
    /// # Safety
    /// [`mapping::unmap`]'s U1.
    pub(crate) unsafe fn unmap(&self, span: Span) -> bool {
        let mut gaps = self.gaps.lock();
        let gap = span.last() + 1;
        let whole = if gaps.contains(&gap) { Span::between(span.start(), gap + PAGE - 1) } else { span };
        // SAFETY: U1 by contract; a gap is used by nobody.
        let is_unmapped = unsafe { mapping::unmap(whole) };
        if is_unmapped {
            gaps.remove(&gap);
        }
        is_unmapped
    }

    /// Makes the last page of what was just mapped the gap behind the rest.
    fn fence(&self, both: Span) -> Option<Span> {
        let span = span_of(both.start(), bytes_of(both) - PAGE)?;
        // SAFETY: mapping's U1: made just now, and nobody is told of it.
        unsafe { mapping::forbid(Span::between(span.last() + 1, both.last())) };
        self.gaps.lock().insert(span.last() + 1);
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_goes_with_the_end_of_its_mapping() {
        let apart = Apart::default();
        let span = apart.map(4 * PAGE, PAGE).unwrap();
        let (left, right) = (span_of(span.start(), PAGE).unwrap(), span_of(span.start() + PAGE, 3 * PAGE).unwrap());
        let gap = span.last() + 1;
        assert_eq!(mapping::map_at(gap, PAGE), None, "the gap is taken");
        // SAFETY: U1: made above, used by nobody.
        assert!(unsafe { apart.unmap(left) });
        assert_eq!((mapping::map_at(gap, PAGE), apart.gaps.lock().len()), (None, 1), "it stays while the end does");
        // SAFETY: as above.
        assert!(unsafe { apart.unmap(right) });
        assert_eq!(apart.gaps.lock().len(), 0);
    }

    #[test]
    fn what_would_touch_the_next_mapping_is_refused() {
        let apart = Apart::default();
        let span = apart.map(8 * PAGE, PAGE).unwrap();
        let (left, right) = (span_of(span.start(), 2 * PAGE), span_of(span.start() + 4 * PAGE, 4 * PAGE));
        let hole = span_of(span.start() + 2 * PAGE, 2 * PAGE).unwrap();
        // SAFETY: U1: made above, used by nobody.
        assert!(unsafe { apart.unmap(hole) });
        assert_eq!(apart.map_at(hole.start(), 2 * PAGE), None, "it fills the hole");
        let small = apart.map_at(hole.start(), PAGE).unwrap();
        for part in [left.unwrap(), small, right.unwrap()] {
            // SAFETY: as above.
            assert!(unsafe { apart.unmap(part) });
        }
    }
}
