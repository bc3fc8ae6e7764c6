//! The threads of the mirror: fillers, which mirror pages by collision-retry, and one that changes pages.
//!
//! jemalloc never splits an extent that it purges, so the hooks alone would not make a section meet a change of the
//! bounds below it. The changer does: it takes random ranges of what an arena keeps, whatever happens to the extents in
//! them, and raises their pages inside a section, as any writer of a source may.
//!
//! Fillers go where something has just happened, or to a live allocation, and mostly linger before they ask whether
//! what they read is old. All of these sleep most of the time, so that the race is between the others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use notifier_index::Reason;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::jemalloc::checks::Check;
use crate::jemalloc::extent_index::{ExtentFinder, ExtentIndex, Fill};
use crate::jemalloc::finder::Hunt;
use crate::jemalloc::mapping::PAGE;
use crate::jemalloc::page_mirror::BLOCK_BYTES;
use crate::span::Span;

/// Most pages that a filler reads at once.
const FILL_PAGES: u64 = 8;
/// Most pages that the changer changes at once.
const CHANGE_PAGES: u64 = 2048;
/// Steps back that a filler looks for a place where something happened.
const AIM_STEPS: usize = 3;
/// Fills between two rests, and how long these are.
const REST: (u64, Duration) = (16, Duration::from_micros(200));
/// Longest times in microseconds between reading and asking: usually, and now and then.
const LINGER_US: [u64; 2] = [300, 3000];
/// How long the changer rests between two sections.
const PAUSE: Duration = Duration::from_micros(100);

/// What the threads did.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct MirrorCounts {
    /// Ranges filled, and the pages in them.
    pub(crate) fills: u64,
    pub(crate) pages: u64,
    /// Reads that had to be thrown away.
    pub(crate) retries: u64,
    /// Reads that waited for a section.
    pub(crate) waits: u64,
    /// Waits that took too long.
    pub(crate) timeouts: u64,
    /// Attempts that found no extent, or one that had gone.
    pub(crate) nowhere: u64,
    /// Sections by hooks, and by the changer.
    pub(crate) hook_sections: u64,
    pub(crate) other_sections: u64,
}

impl MirrorCounts {
    /// The sum of two.
    pub(crate) fn plus(self, other: MirrorCounts) -> MirrorCounts {
        MirrorCounts {
            fills: self.fills + other.fills,
            pages: self.pages + other.pages,
            retries: self.retries + other.retries,
            waits: self.waits + other.waits,
            timeouts: self.timeouts + other.timeouts,
            nowhere: self.nowhere + other.nowhere,
            hook_sections: self.hook_sections + other.hook_sections,
            other_sections: self.other_sections + other.other_sections,
        }
    }
}

/// Fills the mirror until the round is over.
pub(crate) fn fill<I: ExtentIndex>(hunt: &Hunt<'_, I>, seed: u64) -> MirrorCounts {
    let mut counts = MirrorCounts::default();
    let mut finder = hunt.driver.index.finder();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut step = 0;
    // Relaxed: the flag only ends the loop.
    while !hunt.is_over.load(Ordering::Relaxed) {
        step += 1;
        if step % REST.0 == 0 {
            std::thread::sleep(REST.1);
        }
        let Some(range) = choose(hunt, &mut random) else {
            std::thread::sleep(REST.1);
            continue;
        };
        let way = I::WAYS[step as usize % I::WAYS.len()];
        let most_us = LINGER_US[usize::from(random.random_bool(0.5))];
        let micros = random.random_bool(0.5).then(|| random.random_range(0..most_us));
        let fill = finder.fill(way, range, || linger(micros));
        note(hunt, &mut counts, fill);
    }
    counts
}

fn linger(micros: Option<u64>) {
    match micros {
        None => std::thread::yield_now(),
        Some(micros) => std::thread::sleep(Duration::from_micros(micros)),
    }
}

/// Some pages of one block, where something happens.
fn choose<I: ExtentIndex>(hunt: &Hunt<'_, I>, random: &mut Xoshiro256PlusPlus) -> Option<Span> {
    let places = hunt.places.all();
    let start = if random.random_bool(0.7) {
        hunt.driver.index.mirror()?.aimed(random.random_range(0..AIM_STEPS))
    } else {
        places[random.random_range(0..places.len())].look()?.span.start()
    };
    let start = start & !(PAGE - 1);
    let bytes = random.random_range(1..=FILL_PAGES) * PAGE;
    let block_last = start | (BLOCK_BYTES - 1);
    (start != 0).then(|| Span::between(start, block_last.min(start + bytes - 1)))
}

fn note<I: ExtentIndex>(hunt: &Hunt<'_, I>, counts: &mut MirrorCounts, fill: Fill) {
    let checks = &hunt.driver.checks;
    match fill {
        Fill::Nowhere => counts.nowhere += 1,
        Fill::TimedOut => counts.timeouts += 1,
        Fill::Retry => counts.retries += 1,
        Fill::Filled(pages) => {
            counts.fills += 1;
            counts.pages += pages;
            checks.add(Check::Committed, pages);
        }
        Fill::Older(text) => {
            counts.fills += 1;
            checks.expect(Check::Committed, false, || text);
        }
    }
}

/// Changes pages until the round is over; returns the number of its sections.
pub(crate) fn change<I: ExtentIndex>(hunt: &Hunt<'_, I>, seed: u64) -> u64 {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut section_count = 0;
    // Relaxed: as above.
    while !hunt.is_over.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        let Some(region) = hunt.regions.get(random.random()) else { continue };
        let page_count = (region.last() - region.start() + 1) / PAGE;
        let first = random.random_range(0..page_count);
        let pages = random.random_range(1..=CHANGE_PAGES.min(page_count - first));
        let start = region.start() + first * PAGE;
        let range = Span::between(start, start + pages * PAGE - 1);
        hunt.driver.in_section(range, Reason::Protect, std::thread::yield_now);
        section_count += 1;
    }
    section_count
}
