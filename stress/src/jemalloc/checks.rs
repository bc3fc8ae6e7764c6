//! What was checked, how often, and what was found wrong.
//!
//! A torture test that has run out of work looks like success. So each kind of check counts how often it was really
//! made, and a job in which a kind was never made has failed like one in which a check did not hold.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// How many texts are kept of each kind; the others are only counted.
const TEXTS_KEPT: u64 = 3;

/// The kinds of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// A live pointer, interior ones too, is found, by the extent that holds it.
    Found,
    /// The arena of what was found is the one that `arenas.lookup` names for the allocation.
    Owner,
    /// The bytes of an arena in the index are its `mapped` + `retained`.
    Bytes,
    /// An interval lies inside the process's mappings.
    Mapped,
    /// Every address of a range that is known to be mapped is covered exactly once in one version.
    Unbroken,
    /// A view that is kept while versions come and go answers as it did.
    Steady,
    /// What is answered is no older than what had been done before the question.
    Fresh,
    /// A range that jemalloc names in a hook is one that was registered.
    Named,
    /// An allocation holds what was written into it.
    Intact,
    /// The index is what the replayed log says that it is.
    Replayed,
    /// An entry of the mirror is not older than its page when it is committed.
    Committed,
    /// Nothing of a range is mirrored inside a section over it.
    Cleared,
    /// At rest, an entry of the mirror is what its page is.
    Mirrored,
    /// After the arenas are gone, nothing is registered, mapped, mirrored, retired or undropped.
    Emptied,
}

impl Check {
    /// All kinds, in the order of the report.
    pub(crate) const ALL: [Check; 14] = [
        Check::Found,
        Check::Owner,
        Check::Bytes,
        Check::Mapped,
        Check::Unbroken,
        Check::Steady,
        Check::Fresh,
        Check::Named,
        Check::Intact,
        Check::Replayed,
        Check::Committed,
        Check::Cleared,
        Check::Mirrored,
        Check::Emptied,
    ];

    /// Whether it is about the mirror, which the baseline does not have.
    pub(crate) fn needs_mirror(self) -> bool {
        matches!(self, Check::Committed | Check::Cleared | Check::Mirrored)
    }

    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Check::Found => "found",
            Check::Owner => "owner",
            Check::Bytes => "bytes",
            Check::Mapped => "mapped",
            Check::Unbroken => "unbroken",
            Check::Steady => "steady",
            Check::Fresh => "fresh",
            Check::Named => "named",
            Check::Intact => "intact",
            Check::Replayed => "replayed",
            Check::Committed => "committed",
            Check::Cleared => "cleared",
            Check::Mirrored => "mirrored",
            Check::Emptied => "emptied",
        }
    }
}

/// Counters of one kind.
#[derive(Debug, Default)]
struct Tally {
    made: AtomicU64,
    failed: AtomicU64,
}

/// The checks of one job, counted by all its threads.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    tallies: [Tally; Check::ALL.len()],
    texts: Mutex<Vec<String>>,
}

impl Checks {
    /// Counts a check; the text is made only if it failed.
    pub(crate) fn expect(&self, check: Check, holds: bool, text: impl FnOnce() -> String) {
        self.add(check, 1);
        if !holds {
            self.fail(check, text());
        }
    }

    /// Counts checks that held, many at once.
    pub(crate) fn add(&self, check: Check, made_count: u64) {
        // Relaxed: a count that is read after the threads have been joined.
        self.tallies[check as usize].made.fetch_add(made_count, Ordering::Relaxed);
    }

    /// Notes a failure of a check that has been counted.
    pub(crate) fn fail(&self, check: Check, text: String) {
        // Relaxed: as above.
        let before = self.tallies[check as usize].failed.fetch_add(1, Ordering::Relaxed);
        if before < TEXTS_KEPT {
            self.texts.lock().push(format!("{}: {text}", check.name()));
        }
    }

    /// How often each kind was made, in the order of [`Check::ALL`].
    pub(crate) fn made(&self) -> Vec<u64> {
        self.tallies.iter().map(|tally| tally.made.load(Ordering::Relaxed)).collect()
    }

    /// How many checks failed in all.
    pub(crate) fn failed_count(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.failed.load(Ordering::Relaxed)).sum()
    }

    /// How many checks of one kind failed.
    #[cfg(test)]
    pub(crate) fn failed(&self, check: Check) -> u64 {
        self.tallies[check as usize].failed.load(Ordering::Relaxed)
    }

    /// The first failures of each kind, in words.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.texts.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_in_the_order_of_their_counters() {
        Check::ALL.iter().enumerate().for_each(|(place, check)| assert_eq!(place, *check as usize));
    }

    #[test]
    fn every_failure_is_counted_and_the_first_ones_are_kept() {
        let checks = Checks::default();
        (0..10).for_each(|number| checks.expect(Check::Found, number > 8, || number.to_string()));
        assert_eq!((checks.made()[0], checks.failed_count()), (10, 9));
        assert_eq!(checks.texts(), ["found: 0", "found: 1", "found: 2"]);
    }
}
