//! The bounds that a handle has seen its notifier have, with the generation in which it saw them: as long as that is
//! the notifier's, a filler need not search the tree again.
//!
//! Why this is as good as the tree for rule R3: the bounds were read in a published version, so a section that begins to
//! be seen after the filler's scan loads that version or a later one; and a change that takes addresses away raises the
//! generation (R5) before its caller unlocks what his fillers fill under. Growth raises nothing, and leaves what is
//! known too small: then the tree is asked.
//!
//! A sequence lock: its number is the stamp, and whoever finds another writer inside leaves it to him.

use crate::activity::Stamp;
use crate::busted::{self, Sabotage};
use crate::interval::Interval;
use crate::sync::{AtomicU64, Ordering, Witness, fence};

/// See the module's page.
pub(crate) struct Known {
    stamp: AtomicU64,
    start: AtomicU64,
    last: AtomicU64,
    writer: Witness,
}

impl Known {
    pub(crate) fn nothing() -> Self {
        Known {
            stamp: AtomicU64::new(Stamp::NONE),
            start: AtomicU64::new(0),
            last: AtomicU64::new(0),
            writer: Witness::new(),
        }
    }

    /// Whether the notifier was seen to cover `interval` in the generation `stamp`.
    pub(crate) fn covers(&self, stamp: Stamp, interval: Interval) -> bool {
        // [O23] Acquire, partner of the Release in `note`: the bounds, and the version in which they were read.
        let before = self.stamp.load(Ordering::Acquire);
        let (start, last) = (self.start.load(Ordering::Relaxed), self.last.load(Ordering::Relaxed));
        // [O23] The fence keeps the second look after the bounds; partner of the one in `note`.
        fence(Ordering::Acquire);
        let after = self.stamp.load(Ordering::Relaxed);
        before == stamp.to_bits() && after == before && start <= interval.start() && interval.last() <= last
    }

    /// Notes bounds that were read in a published version after `stamp` was.
    #[cold]
    pub(crate) fn note(&self, stamp: Stamp, bounds: Interval) {
        let before = self.stamp.load(Ordering::Relaxed);
        // [O23] Acquire, partner of the Release below: the writer before is out. The number of no stamp keeps readers
        // and writers away; a writer that finds it anew leaves.
        if before == Self::BEING_WRITTEN
            || self.stamp.compare_exchange(before, Self::BEING_WRITTEN, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return;
        }
        self.writer.write();
        // [O23] Whoever reads one of the new bounds also sees that they were being written.
        fence(Ordering::Release);
        self.start.store(bounds.start(), Ordering::Relaxed);
        self.last.store(bounds.last(), Ordering::Relaxed);
        // [O23] Release, partner of the Acquire in `covers`.
        self.stamp.store(stamp.to_bits(), busted::weaker(Sabotage::TornBounds, Ordering::Release));
    }

    /// Neither a stamp nor that of nothing.
    const BEING_WRITTEN: u64 = 2 * Stamp::NONE;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Activity;

    #[test]
    fn bounds_are_known_in_the_generation_in_which_they_were_seen() {
        let (activity, known) = (Activity::new(), Known::nothing());
        let bounds = |start, last| Interval::from_ordered(start, last);
        let seen = activity.stamp();
        assert!(!known.covers(seen, bounds(10, 20)));
        known.note(seen, bounds(10, 20));
        assert!(known.covers(seen, bounds(10, 20)) && known.covers(seen, bounds(15, 15)));
        assert!(!known.covers(seen, bounds(9, 20)) && !known.covers(seen, bounds(10, 21)));
        activity.raise();
        assert!(!known.covers(activity.stamp(), bounds(15, 15)));
        known.note(activity.stamp(), bounds(30, 40));
        assert!(known.covers(activity.stamp(), bounds(30, 40)) && !known.covers(seen, bounds(30, 40)));
    }
}
