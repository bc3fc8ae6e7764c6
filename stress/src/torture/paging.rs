//! The torture of pages: mutators raise generations inside sections, fillers copy them by begin and retry, and the
//! notifiers whose mirrors they fill come, go and move. See `pages` for what holds throughout.

use std::time::Duration;

use notifier_index::{BeginError, Held, Ticket};
use parking_lot::MutexGuard;

use super::actor::Actor;
use super::changes;
use super::marks::Mark;
use super::mixes::Deed;
use super::pages::{PAGE_SLOTS, PAGES, pages};
use super::patience::{Patience, WAIT_LIMIT};
use super::seat::Seat;
use super::sections;
use super::world::{Entry, PAGED, interval};
use crate::model::Change;
use crate::span::Span;

/// A wait that may well run out.
const SHORT_WAIT: Duration = Duration::from_micros(50);

fn range(seat: &Seat, longest: u64) -> Span {
    let first = seat.below(PAGES);
    pages(first, first + seat.below(longest))
}

fn pause(seat: &Seat) {
    (0..seat.below(4)).for_each(|_| std::thread::yield_now());
    if seat.one_in(64) {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Changes some pages inside a section over them.
pub(crate) fn mutate(seat: &Seat) {
    let (range, source) = (range(seat, 4), &seat.world.pages);
    let faults = &seat.world.ledger.faults;
    let Some(section) = sections::begin(seat, range) else { return };
    source.check_cleared(range, "when invalidate has returned", faults);
    source.enter(range);
    pause(seat);
    source.raise(range);
    pause(seat);
    source.check_cleared(range, "inside the section", faults);
    source.leave(range);
    drop(section);
    pause(seat);
}

/// Fills what is found, or what was found some time ago.
pub(crate) fn fill(seat: &Seat) {
    let range = range(seat, 3);
    let kept = seat.kept.borrow_mut().filler.take().filter(|_| !seat.one_in(3));
    let held = kept.or_else(|| {
        let guard = seat.world.index.pin();
        guard.find(seat.world.ops(PAGED), interval(range)).map(|hit| hit.hold())
    });
    let Some(held) = held else { return pause(seat) };
    fill_held(seat, &held, range);
    seat.kept.borrow_mut().filler = Some(held);
}

/// Copies a range of the source into the mirror of a notifier.
fn fill_held(seat: &Seat, held: &Held<Actor>, range: Span) {
    let Some(mirror) = &held.mirror else { return };
    let Some(ticket) = begin(seat, held, range) else { return };
    let source = &seat.world.pages;
    let read = source.read(range);
    pause(seat);
    let mut entries = mirror.0.lock();
    if held.read_retry(ticket) {
        return seat.mark(Mark::FillsRetried);
    }
    source.commit(&mut entries, range, &read, &seat.world.ledger.faults);
    seat.mark(Mark::Fills);
}

fn begin<'h>(seat: &Seat, held: &'h Held<Actor>, range: Span) -> Option<Ticket<'h>> {
    let (patience, interval) = (Patience::new(), interval(range));
    let is_short = seat.one_in(8);
    let begun = match seat.below(4) {
        _ if is_short => held.read_begin_timeout(interval, SHORT_WAIT),
        0 => held.read_begin(interval),
        _ => held.read_begin_timeout(interval, WAIT_LIMIT),
    };
    let is_late = patience.is_over();
    seat.expect(!is_late, || format!("a filler was not woken when the last section over {range:?} ended"));
    match begun {
        Ok(ticket) => return Some(ticket),
        Err(BeginError::NotCovered | BeginError::Removed) => seat.mark(Mark::NotCovered),
        Err(BeginError::Closed) => seat.mark(Mark::RefusedByClose),
        Err(BeginError::TimedOut) if is_short || !is_late => seat.mark(Mark::BeginTimeouts),
        Err(error) => seat.expect(is_late, || format!("a read of {range:?} could not begin: {error}")),
    }
    None
}

fn slot(seat: &Seat) -> Option<(usize, MutexGuard<'_, Option<Entry>>)> {
    let slot = seat.below(PAGE_SLOTS as u64) as usize;
    // Whoever has it may wait for callbacks; he is not to be waited for.
    Some((slot, seat.world.page_slots[slot].try_lock()?))
}

/// Removes what is in a slot, or puts a new notifier there and fills it at once.
pub(crate) fn come_or_go(seat: &Seat) {
    let Some((number, mut slot)) = slot(seat) else { return pause(seat) };
    match slot.take() {
        None => {
            let (bounds, mirror) = (range(seat, 8), seat.world.pages.mirror(number));
            *slot = changes::insert_at(seat, None, PAGED, bounds, Some(mirror));
            let held = slot.as_ref().map(|entry| entry.registration.hold());
            drop(slot);
            held.into_iter().for_each(|held| fill_held(seat, &held, bounds));
        }
        Some(entry) => remove(seat, entry),
    }
}

/// R6: torn down and removed under the lock, waited for after it.
pub(crate) fn remove(seat: &Seat, Entry { id, registration, .. }: Entry) {
    let held = registration.hold();
    let Some(mirror) = &held.mirror else { return };
    let mut entries = mirror.0.lock();
    entries.tear_down(Span::FULL);
    let started = seat.start();
    match registration.remove_deferred() {
        Ok(removal) => {
            seat.log_change(started, removal.version(), Change::Remove { id });
            held.note_gone(removal.version());
            drop(entries);
            changes::wait(seat, &removal, Some(&held));
            held.note_waited();
        }
        Err(error) => seat.fault(|| format!("a deferred removal was refused: {error}")),
    }
    pause(seat);
}

/// R5: what is cut off is torn down, and the new bounds published, under the lock.
pub(crate) fn update(seat: &Seat) {
    let Some((_, slot)) = slot(seat) else { return pause(seat) };
    let Some(entry) = slot.as_ref() else { return pause(seat) };
    let (bounds, held) = (range(seat, 8), entry.registration.hold());
    let Some(mirror) = &held.mirror else { return };
    let mut entries = mirror.0.lock();
    entries.keep_only(bounds);
    let is_moved = match seat.one_in(3) {
        true => update_in_batch(seat, entry, bounds),
        false => changes::update_to(seat, &entry.registration, entry.id, bounds),
    };
    drop(entries);
    drop(slot);
    if is_moved {
        seat.doing(Deed::PageFill);
        fill_held(seat, &held, bounds);
    }
}

fn update_in_batch(seat: &Seat, entry: &Entry, bounds: Span) -> bool {
    let mut batch = seat.world.index.batch();
    let added = batch.update(&entry.registration, interval(bounds));
    seat.expect(added.is_ok(), || format!("a batch refused an update: {added:?}"));
    let started = seat.start();
    match batch.commit() {
        Ok(committed) => {
            seat.log_change(started, committed.version(), Change::Update { id: entry.id, span: bounds });
            true
        }
        Err(error) => {
            changes::note_refusal(seat, error.reason);
            false
        }
    }
}
