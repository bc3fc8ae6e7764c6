//! What reclamation has done so far, in numbers that anyone may read.

use super::Turned;
use crate::sync::{Number, Ordering};

/// What was freed so far, for the limit and the statistics.
#[derive(Default)]
pub(crate) struct Freed {
    bytes: Number,
    objects: Number,
}

// [O14] Relaxed in all: statistics, and a limit that need not be exact.
impl Freed {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Adds what one turn has freed.
    pub(crate) fn note(&self, turned: Turned) {
        if turned.objects > 0 {
            self.objects.fetch_add(turned.objects, Ordering::Relaxed);
            self.bytes.fetch_add(turned.bytes, Ordering::Relaxed);
        }
    }
}
