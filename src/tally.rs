//! Counters of sections and fillers.

use crate::sync::{Number, Ordering};
use crate::walk::Outcome;

/// Counted where something was told, refused or waited for; a section over nothing counts in its own slot only.
#[derive(Default)]
pub(crate) struct Tally {
    calls: Number,
    refusals: Number,
    begin_waits: Number,
    retries: Number,
}

// [O14] Relaxed in all: statistics.
impl Tally {
    pub(crate) fn note_walk(&self, outcome: &Outcome) {
        if outcome.calls > 0 {
            self.calls.fetch_add(outcome.calls, Ordering::Relaxed);
        }
        if outcome.refusals > 0 {
            self.refusals.fetch_add(outcome.refusals, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_begin_wait(&self) {
        self.begin_waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_waits(&self) -> u64 {
        self.begin_waits.load(Ordering::Relaxed)
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}
