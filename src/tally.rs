//! Counters of sections and fillers: each thread counts on the line of its seat, and who asks adds them up.

use crate::engine::seat;
use crate::sync::{Number, Ordering, Padded};
use crate::tuning::TALLY_STRIPES;
use crate::walk::Outcome;

/// Counted where something was told, refused or waited for; a section over nothing counts in its own slot only.
#[derive(Default)]
pub(crate) struct Tally {
    stripes: [Padded<Counts>; TALLY_STRIPES],
}

#[derive(Default)]
struct Counts {
    calls: Number,
    refusals: Number,
    begin_waits: Number,
    retries: Number,
}

// [O14] Relaxed in all: statistics.
impl Tally {
    fn own(&self) -> &Counts {
        &self.stripes[seat() % TALLY_STRIPES].0
    }

    fn sum(&self, of: impl Fn(&Counts) -> &Number) -> u64 {
        self.stripes.iter().map(|counts| of(&counts.0).load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn note_walk(&self, outcome: &Outcome) {
        let own = self.own();
        if outcome.calls > 0 {
            own.calls.fetch_add(outcome.calls, Ordering::Relaxed);
        }
        if outcome.refusals > 0 {
            own.refusals.fetch_add(outcome.refusals, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_begin_wait(&self) {
        self.own().begin_waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_retry(&self) {
        self.own().retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.sum(|counts| &counts.calls)
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.sum(|counts| &counts.refusals)
    }

    pub(crate) fn begin_waits(&self) -> u64 {
        self.sum(|counts| &counts.begin_waits)
    }

    pub(crate) fn retries(&self) -> u64 {
        self.sum(|counts| &counts.retries)
    }
}
