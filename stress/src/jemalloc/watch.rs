//! The threads that only look: the finders, a monitor of retired memory and mappings, and those of the mirror.

use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use crate::jemalloc::checks::Check;
use crate::jemalloc::extent_index::ExtentIndex;
use crate::jemalloc::finder::{Finder, Findings, Hunt};
use crate::jemalloc::mirror_thread::{self, MirrorCounts};
use crate::jemalloc::rest;

/// How often the monitor looks at what is retired.
const LOOK: Duration = Duration::from_millis(5);
/// One look in so many is also at the mappings.
const LOOKS_PER_MAPS: u32 = 40;

/// Fillers of the mirror.
const FILLERS: u64 = 2;

/// The threads, at work.
#[derive(Debug)]
pub(crate) struct Watch<'s> {
    finders: Vec<ScopedJoinHandle<'s, Findings>>,
    monitor: ScopedJoinHandle<'s, Option<u64>>,
    fillers: Vec<ScopedJoinHandle<'s, MirrorCounts>>,
    changer: Option<ScopedJoinHandle<'s, u64>>,
}

/// What they bring back.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) findings: Vec<Findings>,
    pub(crate) retired_bytes_max: Option<u64>,
    pub(crate) mirror: Option<MirrorCounts>,
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
        let filler = |number| scope.spawn(move || mirror_thread::fill(hunt, !seed ^ (number << 32)));
        Watch {
            finders: (0..finder_count).map(finder).collect(),
            monitor: scope.spawn(|| monitor(hunt)),
            fillers: (0..if I::HAS_MIRROR { FILLERS } else { 0 }).map(filler).collect(),
            changer: I::HAS_MIRROR.then(|| scope.spawn(move || mirror_thread::change(hunt, seed))),
        }
    }

    /// Ends them.
    pub(crate) fn end<I: ExtentIndex>(self, hunt: &Hunt<'_, I>) -> Watched {
        // Relaxed: it only ends their loops.
        hunt.is_over.store(true, Ordering::Relaxed);
        let findings = self.finders.into_iter().filter_map(|finder| joined(finder, hunt)).collect();
        let filled = self.fillers.into_iter().filter_map(|filler| joined(filler, hunt)).reduce(MirrorCounts::plus);
        let other_sections = self.changer.and_then(|changer| joined(changer, hunt)).unwrap_or(0);
        // Relaxed: figures for a report.
        let hook_sections = hunt.driver.counts.sections.load(Ordering::Relaxed) - other_sections;
        let waits = hunt.driver.index.wait_count();
        let mirror = filled.map(|filled| MirrorCounts { waits, hook_sections, other_sections, ..filled });
        Watched { findings, retired_bytes_max: joined(self.monitor, hunt).flatten(), mirror }
    }
}

/// What a thread brings back; a panic of it is a failed check.
fn joined<T, I: ExtentIndex>(thread: ScopedJoinHandle<'_, T>, hunt: &Hunt<'_, I>) -> Option<T> {
    let result = thread.join();
    if result.is_err() {
        hunt.driver.checks.fail(Check::Found, "a finder, a filler or the monitor panicked".to_owned());
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
