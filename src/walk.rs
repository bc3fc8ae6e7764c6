//! Telling the notifiers: one walk over a version, two passes, each notifier once.
//!
//! The walk holds the version that it loaded after its section was published, and nothing else: no lock, no pin. So
//! callbacks may sleep and may change the index; what they change is in newer versions, and a walk never looks at
//! those (a notifier that grew to the left would move behind the walk).
//!
//! Around each notifier (the numbers are steps of the contract):
//!
//! ```text
//!   running += 1, generation += 1 ─> dead? skip ─> first pass ┄┄ others ┄┄ ─> second pass ─> running -= 1, ring
//! ```
//!
//! `running` stays raised from the first pass to the end of the second, so that a removal waits for both. Those that
//! have no second pass to come (they were dead, refused, or panicked) are noted in a list of fixed size; where it is
//! full, the second passes of those told so far come early and the walk goes on from there. The walk keeps its place, so
//! it looks at each notifier twice, however many of them refuse or have died.

use std::ptr::NonNull;

use arrayvec::ArrayVec;

use crate::engine::Engine;
use crate::error::WouldBlock;
use crate::hit::{AnyHit, AnyHits};
use crate::interval::Interval;
use crate::notifier::{Event, Invalidating};
use crate::panics::FirstPanic;
use crate::record::Header;
use crate::version::Version;

/// Notifiers of one walk that have no second pass to come.
const IDLE: usize = 32;

/// One walk over a version.
pub(crate) struct Walk<'w> {
    engine: &'w Engine,
    version: &'w Version,
    section: Interval,
    event: &'w Event,
    may_block: bool,
    idle: ArrayVec<NonNull<Header>, IDLE>,
    outcome: Outcome,
}

/// How a walk ended.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) calls: u64,
    pub(crate) refusals: u64,
    pub(crate) panic: FirstPanic,
}

impl<'w> Walk<'w> {
    pub(crate) fn new(
        engine: &'w Engine,
        version: &'w Version,
        section: Interval,
        event: &'w Event,
        may_block: bool,
    ) -> Self {
        Walk { engine, version, section, event, may_block, idle: ArrayVec::new(), outcome: Outcome::default() }
    }

    /// Tells everybody; in the non-blocking form, until the first refusal.
    pub(crate) fn run(mut self) -> Outcome {
        let mut next = AnyHits::new(self.version, self.section);
        while self.run_part(&mut next) {}
        self.outcome
    }

    /// Both passes of the next ones, until the list of idle ones is full; whether any may be left.
    fn run_part(&mut self, next: &mut AnyHits<'w>) -> bool {
        let first = next.clone();
        let mut told_count = 0;
        while !self.idle.is_full() && !self.is_stopped() {
            let Some(hit) = next.next() else { break };
            self.tell(hit);
            told_count += 1;
        }
        let goes_on = self.idle.is_full() && !self.is_stopped();
        self.finish(first.take(told_count));
        goes_on
    }

    /// Whether a refusal has ended the walk.
    fn is_stopped(&self) -> bool {
        self.outcome.refusals > 0 && !self.may_block
    }

    fn invalidating(&self, hit: AnyHit<'_>) -> Invalidating<'w> {
        Invalidating { section: self.section, bounds: hit.interval(), event: self.event, may_block: self.may_block }
    }

    /// The first pass of one notifier.
    fn tell(&mut self, hit: AnyHit<'_>) {
        let header = hit.header();
        let Some(callbacks) = header.kind().callbacks() else { return header.activity().raise() };
        if !header.activity().enter() {
            self.engine.leave(header);
            return self.idle.push(hit.record());
        }
        let invalidating = self.invalidating(hit);
        // SAFETY: [N4] the callbacks are of the record's own kind; the walk's version protects it.
        let answer = self.outcome.panic.catch(|| unsafe { callbacks.invalidate(hit.record(), &invalidating) });
        self.outcome.calls += 1;
        if answer == Some(Err(WouldBlock)) {
            self.outcome.refusals += 1;
            self.report(&invalidating);
        }
        if answer != Some(Ok(())) {
            self.engine.leave(header);
            self.idle.push(hit.record());
        }
    }

    /// A refusal where none is allowed goes to the hook.
    fn report(&mut self, invalidating: &Invalidating<'_>) {
        if self.may_block {
            let engine = self.engine;
            self.outcome.panic.catch(|| engine.settings.report_refusal(invalidating));
        }
    }

    /// The second passes of those that were told, in the same order.
    fn finish(&mut self, told: impl Iterator<Item = AnyHit<'w>>) {
        for hit in told {
            let header = hit.header();
            let Some(callbacks) = header.kind().callbacks() else { continue };
            if self.idle.contains(&hit.record()) {
                continue;
            }
            let invalidating = self.invalidating(hit);
            // SAFETY: [N4] as in `tell`.
            self.outcome.panic.catch(|| unsafe { callbacks.finish(hit.record(), &invalidating) });
            self.engine.leave(header);
        }
        self.idle.clear();
    }
}
