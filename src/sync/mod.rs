//! The one door to atomics, locks, thread-locals and waiting: everything else in this crate takes them from here, so
//! that a model checker can be put behind the same names.
//!
//! | built with | behind the names |
//! |---|---|
//! | nothing | std, `event_listener`: `native.rs`, names and nothing more |
//! | `--cfg stress_yield` | the same, with random yields at each [`yield_point`] |
//! | `--cfg loom` | loom's atomics, wrapped so that one call's ordering can be weakened (`loom.rs`, `weaken.rs`) |
//! | `--cfg shuttle` | shuttle's atomics (`shuttle.rs`) |
//!
//! Under both checkers what loom and shuttle cannot see inside is replaced by what it promises: the event (`event.rs`).
//! Memory that loom cannot see carries a [`Witness`].
//!
//! Two kinds of locks are used and both only through `try_lock`: whoever does not get one goes on without,
//! so no writer ever waits for another.

#[cfg(any(loom, shuttle))]
mod event;
#[cfg(loom)]
#[allow(unsafe_code)]
mod loom;
#[cfg(not(any(loom, shuttle)))]
mod native;
#[cfg(shuttle)]
mod shuttle;
#[cfg(loom)]
mod weaken;

#[cfg(loom)]
use loom as backend;
#[cfg(not(any(loom, shuttle)))]
use native as backend;
#[cfg(shuttle)]
use shuttle as backend;

pub(crate) use backend::{
    Arc, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Event, Mutex, MutexGuard, Witness, dealloc, fence, listener,
    process_wide, spin_loop, thread_local, yield_now, yield_point,
};
/// Counts what no checker asks about.
pub(crate) use std::sync::Arc as PlainArc;
pub(crate) use std::sync::TryLockError;
pub(crate) use std::sync::atomic::Ordering;

/// A shared number that publishes nothing but itself, a statistic or a number that only has to be unique: never
/// a model checker's business.
pub(crate) use std::sync::atomic::{AtomicU32 as Number32, AtomicU64 as Number};

/// A value alone on its cache lines (two of them: adjacent lines are fetched together), so that writes to
/// its neighbours do not slow down those who read it.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Padded<T>(pub(crate) T);

/// What is in a mutex that nobody else can reach.
pub(crate) fn get_mut<T>(mutex: &mut Mutex<T>) -> &mut T {
    match mutex.get_mut() {
        Ok(value) => value,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// Takes `mutex` if nobody holds it; a panic of an earlier holder is no reason to refuse.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
