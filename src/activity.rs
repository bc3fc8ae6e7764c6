//! What happens to one notifier, in one word: its generation, how many callbacks of it run, and whether it is dead.
//!
//! ```text
//!   63                            21 20                  1   0
//!   [ generation                    | callbacks running    | dead ]
//! ```
//!
//! One word, because each question is about two of them: a callback raises the generation and learns whether the
//! notifier is dead; a removal marks it dead and learns whether callbacks run; a ticket is stale if either the
//! generation or the life has changed. All accesses to one word have one order, so no fence is needed between them.
//!
//! The numbers are wide enough: a million callbacks of one notifier at once, and a ticket that is kept through 2^43
//! generations exactly (at a million a second, 101 days) would pass for fresh.

use crate::busted::{self, Sabotage};
use crate::sync::{AtomicU64, Ordering, yield_point};

const DEAD: u64 = 1;
const CALLBACK: u64 = 2;
const GENERATION: u64 = 1 << 21;
const CALLBACKS: u64 = GENERATION - CALLBACK;

/// The word. See the module's page.
pub(crate) struct Activity(AtomicU64);

/// The generation of a notifier, and whether it was dead: what a ticket remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// A word that no other stamp has.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// A word that is no stamp at all.
    pub(crate) const NONE: u64 = CALLBACK;
}

impl Activity {
    /// That of a notifier to which nothing has happened.
    pub(crate) fn new() -> Self {
        // Just below the wrap, so that it is passed in every test.
        Activity(AtomicU64::new(if cfg!(tiny_nodes) { 0_u64.wrapping_sub(2 * GENERATION) } else { 0 }))
    }

    pub(crate) fn is_live(&self) -> bool {
        // [O10] Acquire, partner of the Release in `mark_removed`: whoever sees "dead" also sees the version without it.
        self.0.load(Ordering::Acquire) & DEAD == 0
    }

    pub(crate) fn mark_removed(&self) {
        // [O10] Release, partner of the Acquire in `is_live`. [O20] Acquire, partner of the Release in `enter`: of a
        // callback that is already running, also the section that calls it is seen, by a barrier that follows.
        if !busted::is(Sabotage::NoMark) {
            self.0.fetch_or(DEAD, busted::weaker(Sabotage::LooseDead, Ordering::AcqRel));
        }
    }

    /// Begins a callback, in a new generation; false if the notifier is dead. `leave` must follow either way.
    pub(crate) fn enter(&self) -> bool {
        // [O20] Release, partner of the Acquire in `mark_removed`; which of the two came first is the order of the word.
        // [O21] Release, partner of the Acquire in `stamp`.
        self.0.fetch_add(GENERATION + CALLBACK, Ordering::Release) & DEAD == 0
    }

    /// Ends a callback; true if the notifier is dead, so that somebody may wait for this.
    pub(crate) fn leave(&self) -> bool {
        // [O20] Release, partner of the Acquire in `has_running_callbacks`: what the callback did.
        self.0.fetch_sub(CALLBACK, Ordering::Release) & DEAD != 0
    }

    pub(crate) fn has_running_callbacks(&self) -> bool {
        // [O20] Acquire, partner of the Release in `leave`.
        self.0.load(Ordering::Acquire) & CALLBACKS != 0
    }

    pub(crate) fn stamp(&self) -> Stamp {
        yield_point();
        // [O21] Acquire, partner of the Release in `raise` and `enter`.
        Stamp(self.0.load(Ordering::Acquire) & !CALLBACKS)
    }

    /// Begins a new generation: tickets of earlier ones are stale.
    pub(crate) fn raise(&self) {
        yield_point();
        // [O21] Release, partner of the Acquire in `stamp`.
        self.0.fetch_add(GENERATION, Ordering::Release);
        yield_point();
    }
}
