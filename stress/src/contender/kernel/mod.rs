//! The locked baseline as a whole notifier: what Linux's interval notifiers promise, in user space, behind one mutex.
//!
//! [`LockedIndex`](super::locked::LockedIndex) is the rival of finds and changes; this one is the rival of sections. It
//! has the semantics of `mmu_interval_notifier` (mm/mmu_notifier.c) and of the `put`, `update` and `find` proposed for
//! it in January 2020 (v6); the design is theirs, the code is not.
//!
//! **The problem.** A section tells every overlapping notifier, and a callback may sleep, so no lock can be held
//! while the tree is walked. **The idea.** One sequence number and one count say whether somebody may be walking; while
//! somebody may, the tree is frozen, and changes queue until the last section has ended.
//!
//! ```text
//!   active  sequence   the tree     an insert
//!   0       even       may change   is done; nothing to wait for
//!   > 0     even       may change   is done, and makes the sequence odd: some section may concern it, nobody knows
//!   > 0     odd        is frozen    is deferred; assumed to be under invalidation
//!
//!            start, hit   start   end        end: the last one
//!   active   0 -> 1       -> 2    -> 1       -> 0
//!   sequence 2 -> 3        3       3         -> 4, apply the deferred list, wake everybody
//!                 └──────── frozen ────────┘
//! ```
//!
//! A reader's ticket is its notifier's own copy of the sequence, which the callback sets under the user's lock. If the
//! copy *is* the present sequence, the notifier was told, or came, in this frozen phase, and the reader waits for the
//! phase to end. That is the weakness to be measured: a phase ends only when *no* section is active at all, not even
//! one over nothing, so sections elsewhere that overlap in time can keep a reader, a removal and the deferred list
//! waiting without limit.
//!
//! **Kept fair.** Records are allocated and payloads dropped outside the lock; a section that hits nothing is a search
//! and two short critical sections; a walk costs one counted clone of the tree's pointer, which stands for the
//! kernel's bare pointer and lets the compiler check the freeze: a change needs the only pointer to the tree. What is
//! deferred stands in a small tree of its own, so that a find during a phase stays logarithmic however long the phase
//! lasts; in the kernel it is a list. `iset` allocates one small vector for each search.
//!
//! **Where it departs from v6**, each time because v6 was wrong and a baseline that cheats is none:
//! - `find` agrees with what is deferred (v6 looked at the frozen tree) and what it returns keeps its memory;
//! - an update to bounds that were not covered counts as an insert does, so that readers wait for sections that may
//!   already be running there (v6 left them reading);
//! - a handle is consumed by removal, so that nothing can be put twice;
//! - `synchronize` waits for deferred removals and their releases (v6 had no barrier for them).

mod key;
mod notifier;
mod reading;
mod section;
mod state;
mod subscription;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

pub use notifier::{KernelEvent, KernelNotifier, KernelRange, KernelSequence, KernelWouldBlock};
pub use section::KernelSection;
pub use state::KernelStats;
pub use subscription::{KernelHit, KernelRegistration, KernelSubscription};

use crate::span::{Owner, Span};
use state::{Entry, Removed, State};

/// Interval notifiers with the kernel's semantics, behind one mutex.
///
/// ```
/// use stress::contender::kernel::{KernelEvent, KernelNotifier, KernelNotifiers, KernelRange, KernelSequence};
/// use stress::span::Span;
///
/// struct Mirror;
/// impl KernelNotifier for Mirror {
///     fn invalidate(&self, _range: &KernelRange, sequence: KernelSequence<'_>) -> bool {
///         sequence.set(); // under the user's lock, which a mirror of one word has no need of
///         true
///     }
/// }
///
/// let notifiers = KernelNotifiers::new();
/// let mirror = notifiers.insert(0, Span::between(0x1000, 0x1fff), Mirror);
/// let ticket = notifiers.read_begin(mirror.subscription());
/// let section = notifiers.invalidate_start(Span::point(0x1800), KernelEvent::Unmap);
/// notifiers.invalidate_end(section);
/// assert!(mirror.subscription().read_retry(ticket));
/// notifiers.remove(mirror);
/// ```
#[derive(Debug)]
pub struct KernelNotifiers<N> {
    /// Tells this one from others.
    home: u64,
    state: Mutex<State<N>>,
    /// The one wait queue: readers, removers and `synchronize` wait for the end of a frozen phase.
    quiescence: Condvar,
}

impl<N> Default for KernelNotifiers<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N> KernelNotifiers<N> {
    /// An empty set.
    pub fn new() -> Self {
        static HOMES: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only uniqueness is asked for.
        let home = HOMES.fetch_add(1, Ordering::Relaxed);
        KernelNotifiers { home, state: Mutex::new(State::new()), quiescence: Condvar::new() }
    }

    /// Registers a notifier; deferred while the tree is frozen, but found at once.
    ///
    /// A reader of it waits for all sections that are active now: nobody knows whether they concern it.
    pub fn insert(&self, owner: Owner, span: Span, payload: N) -> KernelRegistration<N> {
        let subscription = Arc::new(KernelSubscription::new(self.home, payload));
        let entry = Entry::new(owner, Arc::clone(&subscription));
        let place = self.state.lock().insert(span, entry);
        KernelRegistration::new(owner, subscription, place)
    }

    /// Gives a notifier new bounds; deferred while the tree is frozen, but a find shows the new ones at once.
    ///
    /// Until the phase ends, sections still call the notifier by its old bounds. Whoever fills a mirror must look at
    /// the bounds under the user's lock.
    ///
    /// # Panics
    /// If the notifier is registered elsewhere.
    pub fn update(&self, registration: &mut KernelRegistration<N>, span: Span) {
        self.own(registration.subscription());
        self.state.lock().update(registration, span);
    }

    /// Takes a notifier away without waiting: allowed in callbacks. The payload is dropped at once, or, while the tree
    /// is frozen, when the phase ends, by the thread that ends it.
    ///
    /// # Panics
    /// If the notifier is registered elsewhere.
    pub fn remove_deferred(&self, registration: KernelRegistration<N>) {
        self.own(registration.subscription());
        let mut state = self.state.lock();
        let removed = state.remove(&registration);
        if let Removed::Deferred(_) = removed {
            state.release_later(registration.subscription);
        }
        // The payload goes after the lock.
        drop(state);
    }

    /// Takes a notifier away and waits until the phase ends in which a callback of it may be running; when that is
    /// over, none runs and none will. In a callback, or between start and end, it waits for itself.
    ///
    /// # Panics
    /// If the notifier is registered elsewhere.
    pub fn remove(&self, registration: KernelRegistration<N>) {
        self.own(registration.subscription());
        let removed = self.state.lock().remove(&registration);
        if let Removed::Deferred(sequence) = removed {
            self.wait_past(&mut self.state.lock(), sequence);
        }
    }

    /// The overlapping notifier of the owner with the lowest start, ties by insertion, as a counted hit.
    pub fn find(&self, owner: Owner, span: Span) -> Option<KernelHit<N>> {
        let state = self.state.lock();
        let (span, subscription) = state.lowest(owner, span)?;
        Some(KernelHit::new(span, Arc::clone(subscription)))
    }

    /// The same, shown to `look` under the lock: nothing is cloned or counted.
    #[inline]
    pub fn find_with<R>(&self, owner: Owner, span: Span, look: impl FnOnce(&N, Span) -> R) -> Option<R> {
        let state = self.state.lock();
        let (span, subscription) = state.lowest(owner, span)?;
        Some(look(subscription.payload(), span))
    }

    /// Waits until every removal deferred before has been done and its payload released. In a callback, in a payload's
    /// `Drop`, or between start and end, it waits for itself.
    pub fn synchronize(&self) {
        let mut state = self.state.lock();
        let sequence = state.sequence();
        if state.is_invalidating() {
            self.wait_past(&mut state, sequence);
        }
        while state.is_releasing() {
            self.quiescence.wait(&mut state);
        }
    }

    /// What the state is now and what has been counted.
    pub fn stats(&self) -> KernelStats {
        self.state.lock().stats()
    }

    fn own(&self, subscription: &KernelSubscription<N>) {
        assert_eq!(subscription.home(), self.home, "the notifier is registered in another set");
    }
}

#[cfg(test)]
mod tests;
