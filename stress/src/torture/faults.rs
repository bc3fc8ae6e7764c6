//! What was found wrong: counted by all threads, the first few in words.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// How many are kept in words.
const TEXTS_KEPT: usize = 8;

/// Faults found by all threads of a mix.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    count: AtomicU64,
    texts: Mutex<Vec<String>>,
}

impl Faults {
    /// Notes a fault unless the condition holds.
    #[inline]
    pub(crate) fn expect(&self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.note(text());
        }
    }

    #[cold]
    pub(crate) fn note(&self, text: String) {
        // Relaxed: a count; it is read for good after the threads have been joined.
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut texts = self.texts.lock();
        if texts.len() < TEXTS_KEPT {
            texts.push(text);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        // Relaxed: as above.
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.texts.lock().clone()
    }
}
