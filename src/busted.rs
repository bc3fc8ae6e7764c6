//! Sabotages, for checks that must be able to fail: only under `--cfg busted`, chosen by name at run time.

#[cfg(busted)]
use std::fmt;

/// What can be broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Retired memory is reused at once, whoever still looks at it. Must fail: `stress jemalloc --break early-free`.
    EarlyFree,
    /// A writer leaves the mirror where it was. Must fail: the tests of `agree`.
    MirrorBehind,
}

/// Whether this sabotage was switched on.
#[inline(always)]
pub(crate) fn is(sabotage: Sabotage) -> bool {
    cfg!(busted) && switch::is(sabotage)
}

/// There is no sabotage of this name.
#[cfg(busted)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownSabotage;

#[cfg(busted)]
impl fmt::Display for UnknownSabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such sabotage: early_free and mirror_behind are known")
    }
}

#[cfg(busted)]
impl std::error::Error for UnknownSabotage {}

#[cfg(busted)]
pub use switch::set;

mod switch {
    use super::Sabotage;
    use crate::sync::{AtomicU32, Ordering};

    static ACTIVE: AtomicU32 = AtomicU32::new(0);

    /// Switches a sabotage on, for the rest of the process.
    ///
    /// # Errors
    /// [`UnknownSabotage`](super::UnknownSabotage) for any other name than `early_free` and `mirror_behind`.
    #[cfg(busted)]
    pub fn set(name: &str) -> Result<(), super::UnknownSabotage> {
        let sabotage = match name {
            "early_free" => Sabotage::EarlyFree,
            "mirror_behind" => Sabotage::MirrorBehind,
            _ => return Err(super::UnknownSabotage),
        };
        // [O16] Relaxed: set before the threads that look are started.
        ACTIVE.fetch_or(1 << sabotage as u32, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn is(sabotage: Sabotage) -> bool {
        // [O16] Relaxed: set before the threads that look are started.
        ACTIVE.load(Ordering::Relaxed) & (1 << sabotage as u32) != 0
    }
}
