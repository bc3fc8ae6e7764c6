//! What an arena that keeps everything was given: ranges of which every address is covered exactly once, always.
//!
//! That is the strongest thing that can be asked of a reader while extents are split and merged: whichever version it
//! looks at, a range that had been given before has neither a hole nor a double cover.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::span::Span;

/// How many regions are remembered; further ones are simply not asked about.
const MOST_REGIONS: usize = 4096;

/// The regions, read without a lock.
#[derive(Debug)]
pub(crate) struct Regions {
    spans: Vec<[AtomicU64; 2]>,
    filled: AtomicUsize,
    appending: Mutex<()>,
}

impl Default for Regions {
    fn default() -> Self {
        let spans = (0..MOST_REGIONS).map(|_| Default::default()).collect();
        Regions { spans, filled: AtomicUsize::new(0), appending: Mutex::new(()) }
    }
}

impl Regions {
    /// Remembers a region, once it is in the index.
    pub(crate) fn push(&self, span: Span) {
        let _alone = self.appending.lock();
        let place = self.filled.load(Ordering::Relaxed);
        let Some([start, last]) = self.spans.get(place) else {
            return;
        };
        start.store(span.start(), Ordering::Relaxed);
        last.store(span.last(), Ordering::Relaxed);
        // Release, with the acquire in `get`: whoever sees the place filled sees the bounds, and the insertion.
        self.filled.store(place + 1, Ordering::Release);
    }

    /// One of them; the choice is any number.
    pub(crate) fn get(&self, choice: u64) -> Option<Span> {
        let filled = self.filled.load(Ordering::Acquire) as u64;
        let [start, last] = &self.spans[choice.checked_rem(filled)? as usize];
        Span::new(start.load(Ordering::Relaxed), last.load(Ordering::Relaxed))
    }
}
