//! Fairness among writers: whoever keeps losing is let through.
//!
//! A change that has lost its race begins again on the newer version, and where others are small and many, a large one would
//! begin for ever. So a change that has lost some races *announces* itself in one word: a number of its own, and how much time
//! it has lost so far. Others who are about to draft or to publish *give way*, for at most twice that time, and each bench
//! only once for each announcement: one that announces itself and is stopped then holds nobody up for longer. Of several
//! the one goes first that has lost most.
//!
//! ```text
//!   63                     6 5            0
//!   [ number                | log2(nanoseconds) ]      0: nobody
//! ```
//!
//! Before that, whoever has lost backs off for a random, bounded number of pauses: enough for the other to make some changes
//! in a row while the tree is in its cache, which is quicker for both than to take turns.

use std::time::{Duration, Instant};

use crate::busted::{self, Sabotage};
use crate::sync::{AtomicU64, Number, Ordering, Padded, spin_loop, yield_now};
use crate::tuning::{LEAST_PAUSES, LOST_BEFORE_ANNOUNCING, LOST_TIME_BEFORE_ANNOUNCING, MOST_PAUSES};

const EXPONENT: u64 = 1 << 6;

/// The word in which a change announces itself.
#[derive(Default)]
pub(crate) struct Courtesy {
    announced: Padded<AtomicU64>,
    count: Number,
}

/// One change on its way.
pub(crate) struct Turn<'c> {
    courtesy: &'c Courtesy,
    lost_count: u32,
    /// When this attempt began, if it is not the first.
    begun: Option<Instant>,
    /// Time that all attempts but the first have taken in vain.
    lost: Duration,
    /// What this change has written into the word; 0 is nothing.
    own: u64,
    random: u64,
}

impl Courtesy {
    pub(crate) fn begin(&self) -> Turn<'_> {
        Turn { courtesy: self, lost_count: 0, begun: None, lost: Duration::ZERO, own: 0, random: 0 }
    }

    /// How many changes have announced themselves so far.
    pub(crate) fn count(&self) -> u64 {
        // [O14] Relaxed: a statistic.
        self.count.load(Ordering::Relaxed)
    }

    fn announced(&self) -> u64 {
        // [O28] Relaxed in all: nothing is published, and who sees it late gives way late.
        self.announced.0.load(Ordering::Relaxed)
    }
}

impl Turn<'_> {
    /// Lets an announced change of somebody else go first, but not longer than it takes; `ignored` is the bench's note of
    /// whom it has waited for.
    #[inline]
    pub(crate) fn give_way(&self, ignored: &mut u64) {
        let announced = self.courtesy.announced();
        if announced != 0 && announced != self.own && announced != *ignored {
            self.wait_for(announced, ignored);
        }
    }

    #[cold]
    fn wait_for(&self, announced: u64, ignored: &mut u64) {
        let patience = Duration::from_nanos(2 << (announced % EXPONENT).min(36));
        let begun = Instant::now();
        while self.courtesy.announced() == announced {
            if begun.elapsed() > patience {
                *ignored = announced;
                return;
            }
            yield_now();
        }
    }

    /// An attempt has lost its race.
    #[cold]
    pub(crate) fn lost(&mut self) {
        self.lost_count += 1;
        self.lost += self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        if self.lost_count > LOST_BEFORE_ANNOUNCING || self.lost > LOST_TIME_BEFORE_ANNOUNCING {
            self.announce();
        } else {
            self.back_off();
        }
        self.begun = Some(Instant::now());
    }

    fn back_off(&mut self) {
        // Marsaglia's xorshift, begun with an address: any spread will do.
        if self.random == 0 {
            self.random = (&raw const *self).addr() as u64 | 1;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let most = (LEAST_PAUSES << self.lost_count.min(16)).min(MOST_PAUSES);
        (0..self.random % most).for_each(|_| spin_loop());
    }

    fn announce(&mut self) {
        let exponent = u64::from((self.lost.as_nanos() as u64).max(1).ilog2());
        let word = self.courtesy.announced();
        let is_before_us = word != 0 && word != self.own && word % EXPONENT >= exponent;
        if is_before_us || busted::is(Sabotage::NoCourtesy) {
            return;
        }
        let number = self.courtesy.count.fetch_add(1, Ordering::Relaxed) + 1;
        let next = number.wrapping_mul(EXPONENT) | exponent;
        if self.courtesy.announced.0.compare_exchange(word, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.own = next;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.own != 0 {
            // Where another change has taken the word since, it keeps it.
            let _ = self.courtesy.announced.0.compare_exchange(self.own, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}
