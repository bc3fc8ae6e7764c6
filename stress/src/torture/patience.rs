//! Whether a wait was too long: by the clock, while this process had its turns. A machine that stood still, or had no time
//! for us, is nobody's fault.

use std::time::{Duration, Instant};

use super::watchdog;

/// A wait that lasts so long is not one for a section or a callback, which are short.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(6);
/// The watchdog has looked so often by then, if it had its turns: half as often as in time.
const LOOKS: u64 = (WAIT_LIMIT.as_millis() / watchdog::LOOK.as_millis() / 2) as u64;

/// A wait that has begun.
pub(crate) struct Patience {
    begun: Instant,
    looks: u64,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Patience { begun: Instant::now(), looks: watchdog::look_count() }
    }

    /// Whether it took too long.
    pub(crate) fn is_over(&self) -> bool {
        self.begun.elapsed() >= WAIT_LIMIT && watchdog::look_count() >= self.looks + LOOKS
    }
}
