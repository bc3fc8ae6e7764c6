//! The epoch: one protector behind two functions, `pin` and `drive`.
//!
//! The collector is private to this crate (others pin the default one for their own reasons, and a guard of
//! another collector protects nothing) and shared by all indexes, so that a thread registers once. What is
//! deferred is one number: "versions below this can no longer be reached through any pin". It is raised
//! with a maximum, so late and early arrivals commute, and it owns nothing of ours: an index may be dropped
//! before its last deferred call has run.

use std::cell::RefCell;
use std::ptr;

use crossbeam_epoch::{Collector, LocalHandle};

use crate::busted::{self, Sabotage};
use crate::fork;
use crate::sync::{Arc, AtomicPtr, AtomicU64, Number, Ordering, process_wide, thread_local, yield_point};

pub(crate) use crossbeam_epoch::Guard as Pin;

/// The collectors of this process and of those that it was forked from, the newest first; made where one is wanted, by one
/// compare-and-swap, so that no fork can copy a half-made one.
struct Collectors(AtomicPtr<OfGeneration>);

/// The collector of one generation. In a child the threads that its parent's collector knows of are gone, and pinned for
/// ever if they were pinned: it is never used there, and never freed.
struct OfGeneration {
    generation: u64,
    collector: Collector,
    older: *mut OfGeneration,
}

process_wide! {
    static COLLECTORS: Collectors = Collectors(AtomicPtr::new(ptr::null_mut()));
}

impl Collectors {
    fn register(&self) -> LocalHandle {
        self.of(fork::generation()).register()
    }

    fn of(&self, generation: u64) -> &Collector {
        // [O26] Acquire, partner of the Release below: the collector.
        let newest = self.0.load(Ordering::Acquire);
        // SAFETY: never freed while this value is there.
        match unsafe { newest.as_ref() } {
            Some(found) if found.generation == generation => &found.collector,
            _ => self.add(generation, newest),
        }
    }

    #[cold]
    fn add(&self, generation: u64, older: *mut OfGeneration) -> &Collector {
        let made = Box::into_raw(Box::new(OfGeneration { generation, collector: Collector::new(), older }));
        // [O26] Release, partner of the Acquire here and above: the collector.
        let newest = match self.0.compare_exchange(older, made, Ordering::Release, Ordering::Acquire) {
            Ok(_) => made,
            Err(theirs) => {
                // SAFETY: made above, and shown to nobody.
                drop(unsafe { Box::from_raw(made) });
                theirs
            }
        };
        // SAFETY: not null, and never freed while this value is there. Whoever was first is of the same generation: all
        // threads of a process are.
        &unsafe { &*newest }.collector
    }
}

/// Of a checker's execution; a static of the process itself is never dropped.
impl Drop for Collectors {
    fn drop(&mut self) {
        // [O26] Relaxed: `&mut`.
        let mut newest = self.0.load(Ordering::Relaxed);
        while !newest.is_null() {
            // SAFETY: from `Box::into_raw`, once, and nobody looks any more.
            newest = unsafe { Box::from_raw(newest) }.older;
        }
    }
}

/// A thread, as the collector of one generation knows it.
struct Participant {
    generation: u64,
    handle: LocalHandle,
}

/// How many threads the collector looks at, so far as they are still there.
static PARTICIPANTS: Number = Number::new(0);

/// How many threads of this process have pinned and not ended.
pub(crate) fn participant_count() -> u64 {
    // [O14] Relaxed: only a matter of pace.
    PARTICIPANTS.load(Ordering::Relaxed)
}

impl Drop for Participant {
    fn drop(&mut self) {
        PARTICIPANTS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Participant {
    fn new() -> Self {
        // [O14] Relaxed, as above.
        PARTICIPANTS.fetch_add(1, Ordering::Relaxed);
        Participant { generation: fork::generation(), handle: COLLECTORS.register() }
    }
}

thread_local! {
    static PARTICIPANT: Participant = Participant::new();
}

thread_local! {
    /// What a thread that has forked is in the child.
    static IN_CHILD: RefCell<Option<Participant>> = const { RefCell::new(None) };
}

/// Pins the calling thread; while its thread-locals are being destroyed, through a handle of its own.
#[inline]
pub(crate) fn pin() -> Pin {
    yield_point();
    let own = PARTICIPANT.try_with(|own| (own.generation == fork::generation()).then(|| own.handle.pin()));
    let pin = own.ok().flatten().unwrap_or_else(pin_otherwise);
    yield_point();
    pin
}

/// Pins a thread that has forked, or whose thread-locals are being destroyed.
#[cold]
fn pin_otherwise() -> Pin {
    let in_child = IN_CHILD.try_with(|own| {
        let mut own = own.borrow_mut();
        if own.as_ref().is_none_or(|own| own.generation != fork::generation()) {
            // The one before was of the parent: not to be let go of here.
            std::mem::forget(own.replace(Participant::new()));
        }
        own.as_ref().map(|own| own.handle.pin())
    });
    in_child.ok().flatten().unwrap_or_else(|| COLLECTORS.register().pin())
}

/// What grace periods have been asked for by one index, and which have passed.
#[derive(Default)]
pub(crate) struct Horizon {
    /// Versions below are out of the reach of every pin.
    passed: AtomicU64,
    /// The greatest number that was asked for.
    requested: AtomicU64,
}

impl Horizon {
    /// Versions below the returned number are out of the reach of every pin, past and future.
    pub(crate) fn load(&self) -> u64 {
        // [O7] Acquire, partner of the maximum in `request`: what pinned readers did with those versions
        // happened before.
        self.passed.load(Ordering::Acquire)
    }

    /// Whether the caller is the one to ask for `seq`: nobody else is, and nothing is outstanding.
    fn claim(&self, seq: u64) -> bool {
        // [O7] Relaxed: only one claim at a time matters; what it stands for is published by the deferral.
        let requested = self.requested.load(Ordering::Relaxed);
        self.passed.load(Ordering::Relaxed) >= requested
            && seq > requested
            && self.requested.compare_exchange(requested, seq, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Brings `horizon` nearer to the newest version: asks for a grace period if none is outstanding, and in any case helps the
/// epoch forward. `newest` tells a number that `current` has reached, so that later pins cannot see an older one.
///
/// One request at a time: while a pin is stuck, nothing piles up in the collector.
///
/// Blocking: never. Allocates one bag for each grace period, inside the collector.
pub(crate) fn drive(horizon: &Arc<Horizon>, newest: impl FnOnce() -> u64) {
    let pin = pin();
    let seq = newest();
    if horizon.claim(seq) {
        let horizon = Arc::clone(horizon);
        let pass = move || {
            // [O7] Release, partner of the load above: the grace period that has passed is published. A maximum, written as an
            // exchange: ThreadSanitizer does not see `fetch_max`.
            let greater = |passed: u64| (passed < seq).then_some(seq);
            let _ = horizon.passed.fetch_update(Ordering::Release, Ordering::Relaxed, greater);
        };
        if busted::is(Sabotage::HastyGrace) { pass() } else { pin.defer(pass) }
    }
    pin.flush();
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn each_generation_has_one_collector() {
        let collectors = Collectors(AtomicPtr::new(ptr::null_mut()));
        assert!(collectors.of(0) == collectors.of(0));
        let first = collectors.of(0).clone();
        assert!(first != *collectors.of(1), "a child would wait for its parent's threads");
        assert!(collectors.of(1) == collectors.of(1));
    }

    /// As in a child, and where thread-locals are being destroyed.
    #[test]
    fn a_thread_without_its_handle_pins_the_same_collector() {
        let (usual, other, again) = (pin(), pin_otherwise(), pin_otherwise());
        assert!(usual.collector() == other.collector() && other.collector() == again.collector());
    }
}
