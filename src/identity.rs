//! Numbers by which things are told apart: owners, indexes, batches, threads.
//!
//! A payload's type is proved by such a number ([H3]), so two things must never get the same one. They are 64 bits wide,
//! which no process lives long enough to count through; and whatever the count, they do not wrap: where none is left the
//! process ends, as std's `Arc` ends it when its count would wrap.

use crate::sync::{Number, Ordering};

/// Gives out numbers, each once.
#[derive(Default)]
pub(crate) struct Identities(Number);

impl Identities {
    /// Gives out 0 first.
    pub(crate) const fn new() -> Self {
        Identities(Number::new(0))
    }

    /// So many numbers in a row that were not given out before: the first of them.
    pub(crate) fn next_of(&self, count: u64) -> u64 {
        // [O15] Relaxed, as below.
        let next = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| next.checked_add(count));
        next.unwrap_or_else(|_| std::process::abort())
    }

    /// A number that was not given out before.
    pub(crate) fn next(&self) -> u64 {
        self.try_next().unwrap_or_else(|| std::process::abort())
    }

    /// The same, or nothing where none is left. The greatest number is never given out: it stands for nobody.
    fn try_next(&self) -> Option<u64> {
        // [O15] Relaxed: only uniqueness matters, and that no number comes after the last.
        let next = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| next.checked_add(1));
        next.ok()
    }
}

/// Ends the process where a count of references would run over: `mem::forget` in a loop can bring it there, and memory
/// that is in use would be freed. As far from the end as all threads there could be in between.
#[inline]
pub(crate) fn check_count(count: usize) {
    if count > GREATEST_COUNT {
        std::process::abort();
    }
}

/// The greatest count of references to one thing: that of `Arc`, and half of it for a mark in the top bit.
pub(crate) const GREATEST_COUNT: usize = usize::MAX / 4;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const CHILD: &str = "NOTIFIER_INDEX_ENDS_HERE";

    /// Asserts that `act` ends the process: runs the test `name`, which calls this, once more in a process of its own.
    pub(crate) fn ends_the_process(name: &str, act: impl FnOnce()) {
        if std::env::var_os(CHILD).is_some() {
            act();
            std::process::exit(0);
        }
        let this = std::env::current_exe().unwrap();
        let ended = std::process::Command::new(this).args(["--exact", name]).env(CHILD, "1").output().unwrap();
        assert!(!ended.status.success(), "the count went on: {}", String::from_utf8_lossy(&ended.stdout));
        assert!(!String::from_utf8_lossy(&ended.stdout).contains("FAILED"), "it panicked instead");
    }

    #[test]
    fn owner_numbers_never_wrap() {
        let identities = Identities(Number::new(u64::MAX - 2));
        assert_eq!(identities.try_next(), Some(u64::MAX - 2));
        assert_eq!(identities.try_next(), Some(u64::MAX - 1));
        for _ in 0..3 {
            assert_eq!(identities.try_next(), None, "a number was given out again");
        }
    }

    #[test]
    fn identities_begin_at_zero_and_differ() {
        let identities = Identities::new();
        assert_eq!([identities.next(), identities.next(), identities.next()], [0, 1, 2]);
    }
}
