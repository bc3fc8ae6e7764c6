//! The payload: it knows whether it is alive, removed, or dropped, and is told of sections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use notifier_index::{Invalidating, Notifier, Reason, WouldBlock};

use super::callbacks;
use super::faults::Faults;
use super::pages::Mirror;
use crate::span::NotifierId;

/// Written over the canary by the drop.
const DEAD: u64 = 0xdead_dead_dead_dead;
/// What a canary is made from while its payload lives.
const ALIVE: u64 = 0x5ca1_ab1e_0ddb_a115;

/// Payloads made and dropped, and what was found wrong.
#[derive(Debug)]
pub(crate) struct Ledger {
    made: AtomicU64,
    dropped: AtomicU64,
    calls: AtomicU64,
    pub(crate) faults: Arc<Faults>,
}

impl Ledger {
    pub(crate) fn new(faults: Arc<Faults>) -> Arc<Self> {
        Arc::new(Ledger { made: AtomicU64::new(0), dropped: AtomicU64::new(0), calls: AtomicU64::new(0), faults })
    }

    /// First passes that were called.
    pub(crate) fn calls(&self) -> u64 {
        // Relaxed: as below.
        self.calls.load(Ordering::Relaxed)
    }

    /// Payloads that are not dropped yet.
    pub(crate) fn left(&self) -> u64 {
        // Relaxed: counts that are compared when nobody changes them.
        self.made.load(Ordering::Relaxed).wrapping_sub(self.dropped.load(Ordering::Relaxed))
    }
}

/// How far the removal of a payload's notifier has come.
pub(crate) mod stage {
    /// Not removed, as far as anybody has said.
    pub(crate) const STANDS: u32 = 0;
    /// `remove_deferred` has returned.
    pub(crate) const REMOVED: u32 = 1;
    /// The wait for its callbacks has returned: none may run any more.
    pub(crate) const WAITED: u32 = 2;
}

/// A notifier's payload.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) id: NotifierId,
    /// Where its registration is kept, if it is in a slot.
    pub(crate) slot: Option<usize>,
    /// What it mirrors of the pages, if it does.
    pub(crate) mirror: Option<Arc<Mirror>>,
    /// The version that took it away, once that has returned; 0 before.
    gone: AtomicU64,
    stage: AtomicU32,
    running: AtomicU32,
    releases: AtomicU32,
    canary: AtomicU64,
}

impl Actor {
    pub(crate) fn new(ledger: &Arc<Ledger>, id: NotifierId, slot: Option<usize>, mirror: Option<Arc<Mirror>>) -> Self {
        // Relaxed: a count.
        ledger.made.fetch_add(1, Ordering::Relaxed);
        Actor {
            ledger: Arc::clone(ledger),
            id,
            slot,
            mirror,
            gone: AtomicU64::new(0),
            stage: AtomicU32::new(stage::STANDS),
            running: AtomicU32::new(0),
            releases: AtomicU32::new(0),
            canary: AtomicU64::new(ALIVE ^ id),
        }
    }

    /// Whether it is right that a view of this version shows it: it is not dropped, and was not removed by then.
    #[inline]
    pub(crate) fn is_sound(&self, version: u64) -> bool {
        // Acquire, partner of the Release in `note_gone`; the canary's ordering must not help it to look right.
        let gone = self.gone.load(Ordering::Acquire);
        self.is_alive() && (gone == 0 || gone > version)
    }

    /// Whether it is not dropped.
    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        // Relaxed: it must be right without help.
        self.canary.load(Ordering::Relaxed) == ALIVE ^ self.id
    }

    /// Why it is not right.
    #[cold]
    pub(crate) fn complaint(&self, version: u64) -> String {
        let (canary, gone) = (self.canary.load(Ordering::Relaxed), self.gone.load(Ordering::Relaxed));
        match canary == ALIVE ^ self.id {
            true => format!("notifier {} is found in version {version}, removed in {gone}", self.id),
            false => format!("a dead notifier is found in version {version}: id {:#x}, canary {canary:#x}", self.id),
        }
    }

    /// Its removal has returned, and made this version.
    pub(crate) fn note_gone(&self, version: u64) {
        // Release: who sees it has what the removal did.
        self.gone.store(version, Ordering::Release);
        self.stage.fetch_max(stage::REMOVED, Ordering::Release);
    }

    /// The wait for its callbacks has returned.
    pub(crate) fn note_waited(&self) {
        self.stage.store(stage::WAITED, Ordering::Release);
    }

    pub(crate) fn stage(&self) -> u32 {
        self.stage.load(Ordering::Acquire)
    }

    /// Whether one of its callbacks runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }

    fn check(&self, when: &str) {
        self.ledger.faults.expect(self.is_alive(), || format!("{when} of a dead notifier"));
        self.ledger.faults.expect(self.stage() != stage::WAITED, || {
            format!("{when} of notifier {} after its removal was waited for", self.id)
        });
    }
}

impl Notifier for Actor {
    fn invalidate(&self, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.running.fetch_add(1, Ordering::AcqRel);
        // Lowered also when the callback panics.
        let _running = Running(&self.running);
        // Relaxed: a count.
        self.ledger.calls.fetch_add(1, Ordering::Relaxed);
        self.check("first pass");
        if told.reason() == Reason::Release {
            // Relaxed: a count.
            let before = self.releases.fetch_add(1, Ordering::Relaxed);
            self.ledger.faults.expect(before == 0, || format!("notifier {} is told twice of the close", self.id));
        }
        let answer = callbacks::told(self, told);
        self.check("end of the first pass");
        answer
    }

    fn finish(&self, told: &Invalidating<'_>) {
        self.check("second pass");
        callbacks::finish(self, told);
        self.check("end of the second pass");
    }
}

struct Running<'a>(&'a AtomicU32);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Relaxed: nobody else has it, or the check is about to say so.
        let canary = self.canary.swap(DEAD, Ordering::Relaxed);
        self.ledger.faults.expect(canary == ALIVE ^ self.id, || format!("notifier {} is dropped twice", self.id));
        self.ledger.faults.expect(!self.is_running(), || format!("notifier {} is dropped in a callback", self.id));
        // Relaxed: a count.
        self.ledger.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_knows_when_it_must_not_be_found() {
        let ledger = Ledger::new(Arc::default());
        let actor = Actor::new(&ledger, 7, None, None);
        assert!(actor.is_sound(100));
        actor.note_gone(50);
        assert!(actor.is_sound(49) && !actor.is_sound(50) && actor.complaint(50).contains("removed in 50"));
        assert_eq!(ledger.left(), 1);
        drop(actor);
        assert_eq!((ledger.left(), ledger.faults.count()), (0, 0));
    }

    #[test]
    fn a_canary_that_was_overwritten_is_seen() {
        let ledger = Ledger::new(Arc::default());
        let actor = Actor::new(&ledger, 7, None, None);
        actor.canary.store(DEAD, Ordering::Relaxed);
        assert!(!actor.is_sound(1) && actor.complaint(1).contains("dead"));
        drop(actor);
        assert_eq!(ledger.faults.texts(), ["notifier 7 is dropped twice"]);
    }
}
