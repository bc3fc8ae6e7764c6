//! The payload of these tests: it knows when it is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const ALIVE: u64 = 0x5eed_0f11_fe00_0001;
const DEAD: u64 = 0xdead_dead_dead_dead;

/// A name and a word that is right only while it is alive.
#[derive(Debug)]
pub(crate) struct Canary {
    id: u64,
    word: AtomicU64,
    drops: Option<Arc<AtomicUsize>>,
}

impl Canary {
    pub(crate) fn new(id: u64) -> Self {
        let word = AtomicU64::new(id ^ ALIVE);
        Canary { id, word, drops: None }
    }

    /// One that counts its drop.
    pub(crate) fn counted(id: u64, drops: &Arc<AtomicUsize>) -> Self {
        let mut canary = Canary::new(id);
        canary.drops = Some(Arc::clone(drops));
        canary
    }

    /// Its name, if it is alive; whoever asks a dead one has used freed memory.
    #[track_caller]
    pub(crate) fn id(&self) -> u64 {
        assert_eq!(self.word.load(Ordering::Relaxed), self.id ^ ALIVE, "a dead canary was found");
        self.id
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.id();
        self.word.store(DEAD, Ordering::Relaxed);
        if let Some(drops) = &self.drops {
            drops.fetch_add(1, Ordering::Relaxed);
        }
    }
}
