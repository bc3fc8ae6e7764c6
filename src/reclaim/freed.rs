//! What reclamation has done so far, in numbers that anyone may read.

use crate::sync::{Number, Ordering};

/// What was freed so far, for the limit and the statistics.
#[derive(Default)]
pub(crate) struct Freed {
    bytes: Number,
    objects: Number,
    oldest_parked: Number,
    parked_count: Number,
    hanging_count: Number,
}

impl Freed {
    // [O14] Relaxed in all: statistics, and a limit that need not be exact.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Objects that hang on owned versions.
    pub(crate) fn hanging_count(&self) -> u64 {
        self.hanging_count.load(Ordering::Relaxed)
    }

    /// The oldest version that is kept for an owner, if any.
    pub(crate) fn oldest_parked(&self) -> Option<u64> {
        (self.parked_count() > 0).then(|| self.oldest_parked.load(Ordering::Relaxed))
    }

    pub(crate) fn parked_count(&self) -> u64 {
        self.parked_count.load(Ordering::Relaxed)
    }
}

// [O14] Relaxed in all: statistics, written by reclaimers.
impl Freed {
    pub(super) fn note_freed(&self, objects: u64, bytes: u64) {
        self.objects.fetch_add(objects, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn note_hung(&self) {
        self.hanging_count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_taken_down(&self) {
        self.hanging_count.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn note_parked(&self, count: u64, oldest: u64) {
        self.parked_count.store(count, Ordering::Relaxed);
        self.oldest_parked.store(oldest, Ordering::Relaxed);
    }
}
