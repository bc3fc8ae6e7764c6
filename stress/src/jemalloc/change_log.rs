//! What the hooks did to the index, version by version, for the replay.
//!
//! Hooks run on any thread, also on ones that are not the job's, so the log is in parts behind locks of their own; a
//! thread always takes the same part, and almost never meets another one there.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::history::Log;
use crate::history::recorder::ChangeRecord;
use crate::model::Change;

/// Parts of the log: some times the threads of a usual run.
const PARTS: usize = 32;

/// The log.
#[derive(Debug)]
pub(crate) struct ChangeLog {
    parts: Vec<Mutex<Log>>,
}

impl Default for ChangeLog {
    fn default() -> Self {
        ChangeLog { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }
}

impl ChangeLog {
    /// Notes that these changes made that version, between two stamps.
    pub(crate) fn push(&self, version: u64, [started, ended]: [u64; 2], changes: &[Change]) {
        let mut part = self.parts[part_of_this_thread()].lock();
        part.changes.extend(changes.iter().map(|change| ChangeRecord { version, started, ended, change: *change }));
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> Vec<Log> {
        self.parts.iter().map(|part| std::mem::take(&mut *part.lock())).collect()
    }
}

fn part_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        // Relaxed: only spreads threads over the parts.
        static PART: usize = NEXT.fetch_add(1, Ordering::Relaxed) % PARTS;
    }
    // A thread that is ending has lost its part and takes the first one.
    PART.try_with(|part| *part).unwrap_or(0)
}
