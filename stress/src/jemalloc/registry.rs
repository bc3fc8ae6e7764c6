//! From the start of an extent to the right to change its interval: what the hooks, and only they, need.
//!
//! jemalloc names an extent by its range, the index by a handle. The finders never come here, so these locks cost them
//! nothing; both rivals pay for them alike. jemalloc serialises the hooks of one extent, so an entry that has been taken
//! out is nobody else's business until it, or what became of it, is put back.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::span::{NotifierId, Span};

/// Parts that are locked by themselves: some times the threads of a usual run.
const SHARDS: usize = 64;

/// An extent in the index.
#[derive(Debug)]
pub(crate) struct Registered<H> {
    pub(crate) handle: H,
    pub(crate) span: Span,
    pub(crate) id: NotifierId,
}

/// All extents in the index, by their start.
#[derive(Debug)]
pub(crate) struct Registry<H> {
    shards: Vec<Mutex<HashMap<u64, Registered<H>>>>,
}

impl<H> Default for Registry<H> {
    fn default() -> Self {
        Registry { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl<H> Registry<H> {
    /// Puts an extent in; gives back one that stood at the same start, which would be a mistake of somebody.
    pub(crate) fn put(&self, extent: Registered<H>) -> Option<Registered<H>> {
        self.shard(extent.span.start()).lock().insert(extent.span.start(), extent)
    }

    /// Takes the extent out that is exactly this range. If there is none, nothing changes.
    pub(crate) fn take(&self, span: Span) -> Option<Registered<H>> {
        let mut shard = self.shard(span.start()).lock();
        if shard.get(&span.start())?.span != span {
            return None;
        }
        shard.remove(&span.start())
    }

    /// How many extents there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn shard(&self, start: u64) -> &Mutex<HashMap<u64, Registered<H>>> {
        // Fibonacci hashing of the page number: neighbours go to different shards.
        let mixed = (start >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.shards[(mixed >> 58) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exactly_the_same_range_is_taken() {
        let registry = Registry::default();
        let span = Span::between(0x1000, 0x2fff);
        assert!(registry.put(Registered { handle: (), span, id: 7 }).is_none());
        assert!(registry.take(Span::between(0x1000, 0x1fff)).is_none());
        assert!(registry.take(Span::between(0x2000, 0x2fff)).is_none());
        assert_eq!((registry.len(), registry.take(span).map(|extent| extent.id)), (1, Some(7)));
        assert_eq!(registry.len(), 0);
    }
}
