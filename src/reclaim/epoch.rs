//! The epoch: one protector behind two functions, `pin` and `after_grace`.
//!
//! The collector is private to this crate (others pin the default one for their own reasons, and a guard of
//! another collector protects nothing) and shared by all indexes, so that a thread registers once. What is
//! deferred is one number: "versions below this can no longer be reached through any pin". It is raised
//! with a maximum, so late and early arrivals commute, and it owns nothing of ours: an index may be dropped
//! before its last deferred call has run.

use std::sync::LazyLock;

use crossbeam_epoch::{Collector, LocalHandle};

use crate::sync::{Arc, AtomicU64, Ordering};

pub(crate) use crossbeam_epoch::Guard as Pin;

static COLLECTOR: LazyLock<Collector> = LazyLock::new(Collector::new);

thread_local! {
    static PARTICIPANT: LocalHandle = COLLECTOR.register();
}

/// Pins the calling thread; while its thread-locals are being destroyed, through a handle of its own.
#[inline]
pub(crate) fn pin() -> Pin {
    PARTICIPANT.try_with(LocalHandle::pin).unwrap_or_else(|_| COLLECTOR.register().pin())
}

/// The number below which no pin can see a version of one index.
#[derive(Default)]
pub(crate) struct Horizon(AtomicU64);

impl Horizon {
    /// Versions below the returned number are out of the reach of every pin, past and future.
    pub(crate) fn load(&self) -> u64 {
        // [O7] Acquire, partner of the maximum in `after_grace`: what pinned readers did with those
        // versions happened before.
        self.0.load(Ordering::Acquire)
    }
}

/// Raises `horizon` to `seq` once all present pins are gone. To be called when the mirror has reached
/// version `seq`, so that later pins cannot see an older one.
///
/// Blocking: never. Allocates now and then, inside the collector (one bag in some calls).
pub(crate) fn after_grace(horizon: &Arc<Horizon>, seq: u64) {
    let horizon = Arc::clone(horizon);
    let pin = pin();
    pin.defer(move || {
        // [O7] Release, partner of the load above: the grace period that has passed is published.
        horizon.0.fetch_max(seq, Ordering::Release);
    });
    pin.flush();
}
