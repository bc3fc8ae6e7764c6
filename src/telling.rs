//! Sections, as the engine runs them: publish, walk, stand, end.

use std::time::Instant;

use crate::bell::Bell;
use crate::busted::{self, Sabotage};
use crate::engine::{Engine, seat, thread_number};
use crate::error::{TryInvalidateError, WaitError};
use crate::hit::AnyHits;
use crate::interval::Interval;
use crate::invalidation::Invalidation;
use crate::notifier::{Event, Invalidating};
use crate::publish::Base;
use crate::reclaim::epoch;
use crate::record::Header;
use crate::section::Place;
use crate::sync::yield_now;
use crate::tuning::REMOVAL_BELLS;
use crate::walk::Walk;

impl Engine {
    /// Runs a section up to the point where all callbacks have returned.
    pub(crate) fn begin_section(
        &self,
        interval: Interval,
        event: &Event,
        may_block: bool,
    ) -> Result<Invalidation<'_>, TryInvalidateError> {
        if self.is_inherited() {
            return Err(TryInvalidateError::Forked);
        }
        let too_early = busted::is(Sabotage::SectionAfterLoad).then(|| self.load_too_early());
        let place = self.sections.begin(interval, seat(), thread_number());
        // From here on the section ends whatever happens. The tree is loaded after it was published (R1).
        let section = Invalidation::new(self, place, interval);
        if too_early.is_none() && self.is_nobody_in(interval) {
            return Ok(section);
        }
        let version = too_early.unwrap_or_else(|| self.cell.borrow());
        let walking = self.sections.walk(place);
        let outcome = Walk::new(self, &version, interval, event, may_block).run();
        drop(version);
        self.sections.stand(place, walking);
        self.tally.note_walk(&outcome);
        let is_refused = outcome.refusals > 0 && !may_block;
        // The section ends by the unwinding.
        outcome.panic.resume();
        if is_refused { Err(TryInvalidateError::WouldBlock) } else { Ok(section) }
    }

    /// Whether a section over `interval` has nobody to tell.
    fn is_nobody_in(&self, interval: Interval) -> bool {
        let _pin = epoch::pin();
        // SAFETY: [V1] pinned for as long as the version is looked at.
        let version = unsafe { self.cell.mirrored() };
        AnyHits::new(version, interval).next().is_none()
    }

    /// A sabotage: the version that a section must not use, with time for others to change it.
    fn load_too_early(&self) -> Base {
        let version = self.cell.borrow();
        yield_now();
        version
    }

    pub(crate) fn end_section(&self, place: Place) {
        self.sections.end(place);
    }

    /// Whether this thread is inside a callback of this index.
    pub(crate) fn is_in_callback(&self) -> bool {
        self.sections.is_calling(thread_number())
    }

    /// Ends a callback, and rings for those who may wait for it.
    pub(crate) fn leave(&self, header: &Header) {
        if header.activity().leave() {
            self.removal_bell(header).ring();
        }
    }

    fn removal_bell(&self, header: &Header) -> &Bell {
        &self.removal_bells[header.serial() as usize % REMOVAL_BELLS]
    }

    /// Waits until no callback of a removed notifier runs.
    pub(crate) fn wait_for_callbacks(&self, header: &Header, deadline: Option<Instant>) -> Result<(), WaitError> {
        if !header.activity().has_running_callbacks() || busted::is(Sabotage::NoWait) {
            return Ok(());
        }
        if self.is_inherited() {
            return Err(WaitError::Forked);
        }
        if self.is_in_callback() {
            return Err(WaitError::WouldDeadlock);
        }
        match self.removal_bell(header).wait_until(|| !header.activity().has_running_callbacks(), deadline) {
            true => Ok(()),
            false => Err(WaitError::TimedOut),
        }
    }

    /// Waits until the callbacks that run now have returned.
    pub(crate) fn wait_for_walks(&self) -> Result<(), WaitError> {
        if self.is_inherited() {
            return Err(WaitError::Forked);
        }
        if self.is_in_callback() {
            return Err(WaitError::WouldDeadlock);
        }
        if !busted::is(Sabotage::NoBarrier) {
            self.sections.wait_for_walks();
        }
        Ok(())
    }

    pub(crate) fn report_refusal(&self, invalidating: &Invalidating<'_>) {
        if let Some(hook) = &self.refusal_hook {
            hook(invalidating);
        }
    }
}
