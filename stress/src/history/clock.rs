//! A clock that is cheap enough to stand beside an operation of 20 nanoseconds, and the same for all threads.
//!
//! The time-stamp counter is read out of order by the processor unless it is told otherwise. A stamp must enclose the
//! operation: the start may be early and the end may be late, never the other way, or a correct run would look wrong.
//!
//! - **\[C1\]** The barrier instruction exists on every x86-64 processor (SSE2 belongs to the base architecture).

use quanta::Clock;

/// Stamps of two threads this close are not ordered: counters of two cores may differ by a little.
pub const SLACK_NS: u64 = 100;

/// Raw stamps, the same for all clones.
#[derive(Clone, Debug)]
pub struct StampClock {
    clock: Clock,
}

/// When an operation began, in ticks of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started(pub(crate) u64);

impl Default for StampClock {
    fn default() -> Self {
        Self::new()
    }
}

impl StampClock {
    /// A clock; calibrated once for the whole process, on the first call.
    pub fn new() -> Self {
        StampClock { clock: Clock::new() }
    }

    /// Stamps the beginning of an operation: nothing that follows happens before it.
    #[inline]
    pub fn start(&self) -> Started {
        let ticks = self.clock.raw();
        order_instructions();
        Started(ticks)
    }

    /// Stamps the end of an operation, in ticks: nothing that precedes happens after it.
    #[inline]
    pub fn end(&self) -> u64 {
        order_instructions();
        self.clock.raw()
    }

    /// Nanoseconds between two stamps; 0 if they are the wrong way round.
    pub fn nanoseconds(&self, from_ticks: u64, to_ticks: u64) -> u64 {
        self.clock.delta_as_nanos(from_ticks, to_ticks)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn order_instructions() {
    // SAFETY: [C1] the instruction exists, and it touches no memory.
    unsafe { std::arch::x86_64::_mm_lfence() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn order_instructions() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_enclose_what_is_between_them() {
        let clock = StampClock::new();
        let Started(start) = clock.start();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let end = clock.clone().end();
        assert!(clock.nanoseconds(start, end) >= 2_000_000);
        assert_eq!(clock.nanoseconds(end, start), 0);
    }
}
