//! The façade over std and the crates that stand beside it: names only, so that it costs nothing.

pub(crate) use event_listener::{Event, listener};
pub(crate) use std::alloc::dealloc;
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
pub(crate) use std::thread::yield_now;
pub(crate) use std::thread_local;

/// Declares statics that are made at their first use.
macro_rules! process_wide {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;)+) => {
        $($(#[$attribute])* static $name: $type = const { $init };)+
    };
}
pub(crate) use process_wide;

/// Stands in memory that a model checker shall watch: nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness;

impl Witness {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Witness
    }

    /// The memory is read.
    #[inline(always)]
    pub(crate) fn read(&self) {}

    /// The memory is written, by one at a time.
    #[inline(always)]
    pub(crate) fn write(&self) {}

    /// The memory is given up: nobody else may look at it from here on.
    #[inline(always)]
    pub(crate) fn end(&self) {}
}

/// Between two steps on shared state, where a checker may let others go first.
#[inline(always)]
pub(crate) fn yield_point() {
    #[cfg(stress_yield)]
    stress::maybe_yield();
}

#[cfg(stress_yield)]
mod stress {
    use std::cell::Cell;
    use std::hash::{BuildHasher, RandomState};

    /// One step in so many gives the processor away.
    const ONE_IN: u64 = 8;

    std::thread_local! {
        static RANDOM: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
    }

    /// Marsaglia's xorshift.
    fn next(mut random: u64) -> u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^ (random << 17)
    }

    pub(super) fn maybe_yield() {
        let drawn = RANDOM.try_with(|random| {
            random.set(next(random.get()));
            random.get()
        });
        // While thread-locals are destroyed nothing is drawn.
        if drawn.is_ok_and(|drawn| drawn.is_multiple_of(ONE_IN)) {
            std::thread::yield_now();
        }
    }
}
