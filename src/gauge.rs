//! A count of things that come and go, and waiting for those that are there now.
//!
//! Whoever waits must not wait for those that come later, or a storm would starve him. So there are two counts, and what
//! comes joins the one that the *phase* names:
//!
//! ```text
//!   phase p:  counts[p % 2] fills and drains,  counts[(p + 1) % 2] only drains
//!             ──(the draining one is empty)──> phase p + 1
//! ```
//!
//! Waiting is pushing the phase on by three. The first step may rest on a look from before the wait began; by the next
//! two, each count has been empty since. One that had read the phase before it moved on, and is counted late, makes
//! the others wait for it, and that is all. (The two counts are those of sleepable RCU: Guniguntala, McKenney,
//! Triplett, Walpole, "The read-copy-update mechanism for supporting real-time applications on shared-memory
//! multiprocessor systems with Linux", IBM Systems Journal 47(2), 2008.)

use std::time::Instant;

use crate::bell::Bell;
use crate::busted::{self, Sabotage};
use crate::sync::{AtomicU64, Ordering, fence};

/// A count of things, and a way to wait for those that are there.
#[derive(Default)]
pub(crate) struct Gauge {
    phase: AtomicU64,
    counts: [AtomicU64; 2],
    bell: Bell,
}

/// Under which count something was entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry(usize);

impl Gauge {
    pub(crate) fn enter(&self) -> Entry {
        // [O18] Relaxed: ordered by the fence of whoever enters; a late phase is harmless.
        let entry = Entry((self.phase.load(Ordering::Relaxed) % 2) as usize);
        self.counts[entry.0].fetch_add(1, Ordering::Relaxed);
        entry
    }

    pub(crate) fn leave(&self, entry: Entry) {
        // [O18] Release, partner of the Acquire in `advance`: what was done inside.
        if self.counts[entry.0].fetch_sub(1, Ordering::Release) == 1 {
            self.bell.ring();
        }
    }

    pub(crate) fn count(&self) -> u64 {
        // [O18] Ordered by the caller's fence. Acquire, partner of the Release in `leave`: what was done inside by those
        // that have left.
        self.counts.iter().map(|count| count.load(Ordering::Acquire)).sum()
    }

    /// Waits until all that are counted now have left. False if the time ran out.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let target = self.target();
        self.bell.wait_until(|| self.advance(target), deadline)
    }

    /// The phase in which all that are counted now have left.
    pub(crate) fn target(&self) -> u64 {
        // [O18] SeqCst, partner of the fence in `advance`: what is counted now is also seen by whoever moves the phase
        // on twice from here.
        fence(Ordering::SeqCst);
        self.phase.load(Ordering::Relaxed) + if busted::is(Sabotage::ShortWait) { 2 } else { 3 }
    }

    /// Pushes the phase on as far as it goes; whether it has reached `target`.
    pub(crate) fn advance(&self, target: u64) -> bool {
        loop {
            // [O18] Acquire, partner of the Release below: what others have seen drained, is over here too; behind the look
            // that ends the wait there is no fence.
            let phase = self.phase.load(Ordering::Acquire);
            if phase >= target {
                return true;
            }
            fence(Ordering::SeqCst);
            // [O18] Acquire, partner of the Release in `leave`: of one that joined late, this turn may be the first to know.
            if self.counts[((phase + 1) % 2) as usize].load(Ordering::Acquire) > 0 {
                return false;
            }
            // [O18] Release, partner of the Acquire above. Whoever is overtaken looks again.
            let _ = self.phase.compare_exchange(phase, phase + 1, Ordering::Release, Ordering::Relaxed);
        }
    }
}
