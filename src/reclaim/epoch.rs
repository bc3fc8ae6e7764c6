//! The epoch: one protector behind two functions, `pin` and `drive`.
//!
//! The collector is private to this crate (others pin the default one for their own reasons, and a guard of
//! another collector protects nothing) and shared by all indexes, so that a thread registers once. What is
//! deferred is one number: "versions below this can no longer be reached through any pin". It is raised
//! with a maximum, so late and early arrivals commute, and it owns nothing of ours: an index may be dropped
//! before its last deferred call has run.

use crossbeam_epoch::{Collector, LocalHandle};

use crate::busted::{self, Sabotage};
use crate::sync::{Arc, AtomicU64, Ordering, process_wide, thread_local, yield_point};

pub(crate) use crossbeam_epoch::Guard as Pin;

process_wide! {
    static COLLECTOR: Collector = Collector::new();
}

thread_local! {
    static PARTICIPANT: LocalHandle = COLLECTOR.register();
}

/// Pins the calling thread; while its thread-locals are being destroyed, through a handle of its own.
#[inline]
pub(crate) fn pin() -> Pin {
    yield_point();
    let pin = PARTICIPANT.try_with(LocalHandle::pin).unwrap_or_else(|_| COLLECTOR.register().pin());
    yield_point();
    pin
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

/// Brings `horizon` nearer to `seq`: asks for a grace period if none is outstanding, and in any case helps the epoch
/// forward. To be called when the mirror has reached version `seq`, so that later pins cannot see an older one.
///
/// One request at a time: while a pin is stuck, nothing piles up in the collector.
///
/// Blocking: never. Allocates one bag for each grace period, inside the collector.
pub(crate) fn drive(horizon: &Arc<Horizon>, seq: u64) {
    let pin = pin();
    if horizon.claim(seq) {
        let horizon = Arc::clone(horizon);
        let pass = move || {
            // [O7] Release, partner of the load above: the grace period that has passed is published.
            horizon.passed.fetch_max(seq, Ordering::Release);
        };
        if busted::is(Sabotage::HastyGrace) { pass() } else { pin.defer(pass) }
    }
    pin.flush();
}
