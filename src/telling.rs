//! Sections, as the engine runs them: publish, walk, stand, end.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::time::Instant;

use crate::bell::Bell;
use crate::busted::{self, Sabotage};
use crate::engine::{Engine, seat, thread_number};
use crate::error::{WaitError, WouldBlock, WouldDeadlock};
use crate::interval::Interval;
use crate::invalidation::Invalidation;
use crate::notifier::{Event, Invalidating};
use crate::publish::Base;
use crate::record::Header;
use crate::section::Place;
use crate::sync::{Ordering, fence};
use crate::tuning::REMOVAL_BELLS;
use crate::walk::Walk;

thread_local! {
    /// Sections of this thread that found no slot in their table, of whichever index.
    static OVERFLOWING: Cell<u32> = const { Cell::new(0) };
}

fn change_overflowing(by: i32) {
    // While thread-locals are destroyed nobody asks any more.
    let _ = OVERFLOWING.try_with(|count| count.set(count.get().saturating_add_signed(by)));
}

impl Engine {
    /// Runs a section up to the point where all callbacks have returned.
    pub(crate) fn begin_section(
        &self,
        interval: Interval,
        event: &Event,
        may_block: bool,
    ) -> Result<Invalidation<'_>, WouldBlock> {
        let too_early = busted::is(Sabotage::SectionAfterLoad).then(|| self.load_too_early());
        let place = self.sections.begin(interval, seat(), thread_number());
        if place.is_overflow() {
            change_overflowing(1);
        }
        // From here on the section ends whatever happens. The tree is loaded after it was published (R1).
        let section = Invalidation::new(self, place, interval);
        let version = too_early.unwrap_or_else(|| self.cell.borrow());
        let outcome = Walk::new(self, &version, interval, event, may_block).run();
        drop(version);
        self.sections.stand(section.place());
        self.tally.note_walk(&outcome);
        if let Some(panic) = outcome.panic {
            drop(section);
            resume_unwind(panic);
        }
        if outcome.refusals > 0 && !may_block {
            return Err(WouldBlock);
        }
        Ok(section)
    }

    /// A sabotage: the version that a section must not use, with time for others to change it.
    fn load_too_early(&self) -> Base {
        let version = self.cell.borrow();
        std::thread::yield_now();
        version
    }

    pub(crate) fn end_section(&self, place: Place) {
        if place.is_overflow() {
            change_overflowing(-1);
        }
        self.sections.end(place);
    }

    /// Whether this thread has a section that found no slot: then it cannot be told from others.
    pub(crate) fn is_overflowing_here(&self) -> bool {
        OVERFLOWING.try_with(Cell::get).is_ok_and(|count| count > 0)
    }

    /// Whether this thread is inside a callback of this index.
    pub(crate) fn is_in_callback(&self) -> bool {
        self.sections.is_calling(thread_number()) || self.is_overflowing_here()
    }

    /// Ends a callback, and rings for those who may wait for it.
    pub(crate) fn leave(&self, header: &Header) {
        if header.leave() {
            self.removal_bell(header).ring();
        }
    }

    fn removal_bell(&self, header: &Header) -> &Bell {
        &self.removal_bells[header.serial() as usize % REMOVAL_BELLS]
    }

    /// Waits until no callback of a removed notifier runs.
    pub(crate) fn wait_for_callbacks(&self, header: &Header, deadline: Option<Instant>) -> Result<(), WaitError> {
        // [O20] SeqCst, partner of the fences in `enter` and `leave`: the notifier was marked removed before.
        fence(Ordering::SeqCst);
        if !header.has_running_callbacks() {
            return Ok(());
        }
        if self.is_in_callback() {
            return Err(WaitError::WouldDeadlock);
        }
        match self.removal_bell(header).wait_until(|| !header.has_running_callbacks(), deadline) {
            true => Ok(()),
            false => Err(WaitError::TimedOut),
        }
    }

    /// Waits until the callbacks that run now have returned.
    pub(crate) fn wait_for_walks(&self) -> Result<(), WouldDeadlock> {
        if self.is_in_callback() {
            return Err(WouldDeadlock);
        }
        self.sections.wait_for_walks();
        Ok(())
    }

    pub(crate) fn report_refusal(&self, invalidating: &Invalidating<'_>) {
        if let Some(hook) = &self.refusal_hook {
            hook(invalidating);
        }
    }
}
