//! The threads that only look: the finders, and a monitor of retired memory and mappings.

use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use crate::jemalloc::checks::Check;
use crate::jemalloc::extent_index::ExtentIndex;
use crate::jemalloc::finder::{Finder, Findings, Hunt};
use crate::jemalloc::rest;

/// How often the monitor looks at what is retired.
const LOOK: Duration = Duration::from_millis(5);
/// One look in so many is also at the mappings.
const LOOKS_PER_MAPS: u32 = 40;

/// The threads, at work.
#[derive(Debug)]
pub(crate) struct Watch<'s> {
    finders: Vec<ScopedJoinHandle<'s, Findings>>,
    monitor: ScopedJoinHandle<'s, Option<u64>>,
}

/// What they bring back.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) findings: Vec<Findings>,
    pub(crate) retired_bytes_max: Option<u64>,
}

impl<'s> Watch<'s> {
    /// Starts so many finders, whose random choices begin there, stale ones if that is wanted, and the monitor. Each
    /// finder waits at the barrier once it is ready.
    pub(crate) fn start<'e, I: ExtentIndex>(
        scope: &'s Scope<'s, 'e>,
        hunt: &'s Hunt<'s, I>,
        ready: &'s Barrier,
        (finder_count, seed, is_stale): (usize, u64, bool),
    ) -> Self {
        let finder = |number: usize| {
            scope.spawn(move || {
                let index = &hunt.driver.index;
                let stale = if is_stale { index.stale_finder() } else { None };
                let finder = stale.unwrap_or_else(|| index.finder());
                ready.wait();
                Finder::new(hunt, finder, seed ^ (number as u64 + 1) << 32).run()
            })
        };
        Watch { finders: (0..finder_count).map(finder).collect(), monitor: scope.spawn(|| monitor(hunt)) }
    }

    /// Ends them.
    pub(crate) fn end<I: ExtentIndex>(self, hunt: &Hunt<'_, I>) -> Watched {
        // Relaxed: it only ends their loops.
        hunt.is_over.store(true, Ordering::Relaxed);
        let findings = self.finders.into_iter().filter_map(|finder| joined(finder, hunt)).collect();
        Watched { findings, retired_bytes_max: joined(self.monitor, hunt).flatten() }
    }
}

/// What a thread brings back; a panic of it is a failed check.
fn joined<T, I: ExtentIndex>(thread: ScopedJoinHandle<'_, T>, hunt: &Hunt<'_, I>) -> Option<T> {
    let result = thread.join();
    if result.is_err() {
        hunt.driver.checks.fail(Check::Found, "a finder or the monitor panicked".to_owned());
    }
    result.ok()
}

/// Watches until the round is over; returns the most that was retired at a time.
fn monitor<I: ExtentIndex>(hunt: &Hunt<'_, I>) -> Option<u64> {
    let mut retired_bytes_max = None;
    let mut look_count = 0;
    // Relaxed: the flag only ends the loop.
    while !hunt.is_over.load(Ordering::Relaxed) {
        retired_bytes_max = retired_bytes_max.max(hunt.driver.index.retired_bytes());
        if look_count % LOOKS_PER_MAPS == 0 {
            rest::check_mapped(hunt.driver);
        }
        look_count += 1;
        std::thread::sleep(LOOK);
    }
    retired_bytes_max
}
