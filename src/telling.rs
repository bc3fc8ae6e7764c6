//! Sections, as the engine runs them: publish, walk, stand, end.

use std::ptr::NonNull;
use std::time::Instant;

use crate::bell::Bell;
use crate::busted::{self, Sabotage};
use crate::engine::{Engine, seat, thread_number};
use crate::error::{TryInvalidateError, WaitError};
use crate::hit::AnyHits;
use crate::interval::Interval;
use crate::invalidation::Invalidation;
use crate::notifier::Event;
use crate::publish::VersionCell;
use crate::reclaim::epoch::{self, Pin};
use crate::reclaim::pool::NoMemory;
use crate::record::Header;
use crate::section::Place;
use crate::slots::{Mark, OwnSlot, UserKind};
use crate::sync::yield_now;
use crate::tuning::REMOVAL_BELLS;
use crate::version::Version;
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
        let too_early = if busted::is(Sabotage::SectionAfterLoad) { self.load_too_early() } else { None };
        if may_block {
            self.sections.make_room();
        }
        let place = self.sections.begin(interval, seat(), thread_number());
        // From here on the section ends whatever happens. The tree is loaded after it was published (R1).
        let section = Invalidation::new(self, place, interval);
        let sight = too_early.unwrap_or_else(|| self.look(place));
        if AnyHits::new(sight.version(), interval).next().is_none() {
            return Ok(section);
        }
        let walking = self.sections.walk(place);
        let outcome = Walk::new(self, sight.version(), interval, event, may_block).run();
        drop(sight);
        self.sections.stand(place, walking);
        self.tally.note_walk(&outcome);
        let is_refused = outcome.refusals > 0 && !may_block;
        // The section ends by the unwinding.
        outcome.panic.resume();
        if is_refused { Err(TryInvalidateError::WouldBlock) } else { Ok(section) }
    }

    /// The current version, as the section in this place keeps it: by the mark of its slot. One that overflows takes a slot as
    /// a reader does, and where there is no memory for that, it keeps a pin.
    fn look(&self, place: Place) -> Sight<'_> {
        let otherwise = || match self.slots.take(UserKind::Section) {
            Ok(slot) => Keeper::Slot(slot),
            Err(NoMemory) => Keeper::Pin(epoch::pin()),
        };
        Sight::take(&self.cell, self.sections.mark(place).map_or_else(otherwise, Keeper::Mark))
    }

    /// A sabotage: the version that a section must not use, with time for others to change it.
    fn load_too_early(&self) -> Option<Sight<'_>> {
        let sight = Sight::take(&self.cell, Keeper::Slot(self.slots.take(UserKind::Section).ok()?));
        yield_now();
        Some(sight)
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
}

/// What keeps the version of a walk.
enum Keeper<'s> {
    Mark(&'s Mark),
    Slot(OwnSlot),
    Pin(#[expect(dead_code, reason = "held")] Pin),
}

/// The version that a section looks at, kept until this is dropped.
struct Sight<'s> {
    version: NonNull<Version>,
    keeper: Keeper<'s>,
}

impl<'s> Sight<'s> {
    fn take(cell: &VersionCell, keeper: Keeper<'s>) -> Self {
        let version = match &keeper {
            Keeper::Mark(mark) => mark.protect(cell),
            Keeper::Slot(slot) => slot.mark().protect(cell),
            Keeper::Pin(_) => cell.look(),
        };
        Sight { version, keeper }
    }

    fn version(&self) -> &Version {
        // SAFETY: [V1] kept by the keeper, for as long as this is there.
        unsafe { self.version.as_ref() }
    }
}

impl Drop for Sight<'_> {
    fn drop(&mut self) {
        if let Keeper::Mark(mark) = &self.keeper {
            mark.clear();
        }
    }
}
