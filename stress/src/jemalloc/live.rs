//! The live allocations: written by the worker that owns a place, read by every finder, without a lock.
//!
//! A finder has to know that the pointer that it looked up was live *for the whole of the find*, while workers free
//! without asking. So each place is a sequence lock: its generation is odd while an allocation is live in it. A
//! finder reads generation, bounds, arena; finds; reads the generation again. The same odd number twice means that the
//! worker had not begun to free it, and the find has no excuse.
//!
//! ```text
//!   worker: mallocx ... store bounds, generation odd  ...............  generation even, fence, dallocx (-> hook)
//!   finder:                      load odd, bounds ... find ... fence, load: the same?
//! ```
//!
//! Why that suffices: the worker makes the generation even before it frees. A find that saw an extent go has, through
//! the publication that took it away, synchronised with that worker, so its second reading sees the even generation.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::span::Span;

/// One place, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Place {
    generation: AtomicU64,
    start: AtomicU64,
    last: AtomicU64,
    arena: AtomicU32,
}

/// An allocation as a finder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// Its bytes; at least these are live while the generation stands.
    pub(crate) span: Span,
    /// The arena that `arenas.lookup` named for its base.
    pub(crate) arena: u32,
    generation: u64,
}

impl Place {
    /// Shows an allocation to the finders; only by the worker that owns the place, which must be empty.
    pub(crate) fn show(&self, span: Span, arena: u32) {
        self.start.store(span.start(), Ordering::Relaxed);
        self.last.store(span.last(), Ordering::Relaxed);
        self.arena.store(arena, Ordering::Relaxed);
        // Release, with the acquire in `look`: who sees the odd generation sees the bounds, and what the hooks did.
        self.generation.store(self.generation.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Hides it again, before it is freed or changed; only by the worker that owns the place.
    pub(crate) fn hide(&self) {
        self.generation.store(self.generation.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        // With the fence in `is_still`: a finder that saw later bounds sees this generation, too.
        fence(Ordering::Release);
    }

    /// What is live here now; `None` if nothing.
    pub(crate) fn look(&self) -> Option<Live> {
        let generation = self.generation.load(Ordering::Acquire);
        if generation.is_multiple_of(2) {
            return None;
        }
        let (start, last) = (self.start.load(Ordering::Relaxed), self.last.load(Ordering::Relaxed));
        let arena = self.arena.load(Ordering::Relaxed);
        // Bounds of two allocations may have been mixed; `is_still` says so then, and nobody may be misled before.
        Some(Live { span: Span::new(start, last)?, arena, generation })
    }

    /// Whether the allocation has been live ever since it was looked at.
    pub(crate) fn is_still(&self, live: Live) -> bool {
        fence(Ordering::Acquire);
        self.generation.load(Ordering::Relaxed) == live.generation
    }
}

/// All places of a round: so many for each worker.
#[derive(Debug)]
pub(crate) struct Places {
    places: Vec<Place>,
    per_worker: usize,
}

impl Places {
    /// Empty places.
    pub(crate) fn new(worker_count: usize, per_worker: usize) -> Self {
        Places { places: (0..worker_count * per_worker).map(|_| Place::default()).collect(), per_worker }
    }

    /// Those of one worker.
    pub(crate) fn of_worker(&self, worker: usize) -> &[Place] {
        &self.places[worker * self.per_worker..(worker + 1) * self.per_worker]
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Place] {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_is_still_live_until_it_is_hidden() {
        let place = Place::default();
        assert_eq!(place.look(), None);
        place.show(Span::between(1, 9), 5);
        let live = place.look().unwrap();
        assert_eq!((live.span, live.arena, place.is_still(live)), (Span::between(1, 9), 5, true));
        place.hide();
        assert!(!place.is_still(live) && place.look().is_none());
        place.show(Span::between(1, 9), 5);
        assert!(!place.is_still(live), "the same address again is another allocation");
    }
}
