//! Sections over whatever is there, and fillers that have nothing to fill.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use notifier_index::{BeginError, Event, Interval, Invalidation, Reason, Ticket};

use super::callbacks::Planned;
use super::changes;
use super::marks::Mark;
use super::mixes::Deed;
use super::patience::{Patience, WAIT_LIMIT};
use super::seat::Seat;
use super::world::{EXTENTS, Entry, TOLD, interval, span};
use crate::span::Span;

/// More sections at once than the table has places.
const TOO_MANY: u64 = 140;
/// Where nobody is but those that are everywhere.
const NOWHERE: u64 = 1 << 50;
/// How long an overflowing section stands at most, for somebody to wait for it.
const OVERFLOW_LIMIT: Duration = Duration::from_millis(300);
/// A wait that may well run out.
const SHORT_WAIT: Duration = Duration::from_micros(100);

const REASONS: [Reason; 5] = [Reason::Unmap, Reason::Clear, Reason::Protect, Reason::Migrate, Reason::Other];

/// Begins a section, one way or the other; `None` if it was refused, or a callback panicked.
pub(crate) fn begin(seat: &Seat, range: Span) -> Option<Invalidation<'_>> {
    let event = Event::new(REASONS[seat.below(5) as usize]).by(seat.below(8));
    let (index, may_block) = (&seat.world.index, seat.one_in(2));
    let begun = catch_unwind(AssertUnwindSafe(|| match may_block {
        true => Ok(index.invalidate(interval(range), event)),
        false => index.try_invalidate(interval(range), event),
    }));
    match begun {
        Ok(Ok(section)) => Some(section),
        Ok(Err(_)) => {
            seat.mark(Mark::SectionRefused);
            None
        }
        Err(panic) => {
            seat.mark(Mark::Panic);
            let is_planned = panic.is::<Planned>() && seat.world.plan.is_hostile;
            seat.expect(is_planned, || format!("a section panicked: {:?}", panic.downcast_ref::<String>()));
            None
        }
    }
}

/// A section over some range, with something done inside it.
pub(crate) fn section(seat: &Seat) {
    let range = seat.draw(|draws| seat.world.range(draws));
    let Some(section) = begin(seat, range) else { return };
    seat.expect(span(section.interval()) == range, || "a section has another range".to_owned());
    check_own_wait_is_refused(seat, range);
    match seat.below(32) {
        0 => std::thread::sleep(Duration::from_micros(400)),
        1..=8 => std::thread::yield_now(),
        9..=12 => changes::insert(seat),
        13..=14 => changes::update(seat),
        _ => {}
    }
    drop(section);
}

/// Inside a section its own thread cannot wait for it.
fn check_own_wait_is_refused(seat: &Seat, range: Span) {
    let guard = seat.world.index.pin();
    let Some(hit) = guard.find(seat.world.ops(TOLD), interval(range)) else { return };
    let bounds = span(hit.interval());
    let common = Span::between(bounds.start().max(range.start()), bounds.last().min(range.last()));
    let held = hit.hold();
    drop(guard);
    check_refused(seat, held.read_begin(interval(common)));
}

/// A beginning that would wait for this very thread was refused, or something else stood in its way.
pub(crate) fn check_refused(seat: &Seat, begun: Result<Ticket<'_>, BeginError>) {
    match begun {
        Err(BeginError::WouldDeadlock) => seat.mark(Mark::WouldDeadlock),
        Err(BeginError::Closed) => seat.mark(Mark::RefusedByClose),
        Err(BeginError::Removed | BeginError::NotCovered) => {}
        other => seat.fault(|| format!("inside its own section a thread may read: {other:?}")),
    }
}

/// Begins to read for some notifier, and asks whether to retry.
pub(crate) fn fill(seat: &Seat) {
    let at = Interval::point(seat.draw(|draws| seat.world.address(draws)));
    let owner = if seat.one_in(4) { EXTENTS } else { TOLD };
    let patience = Patience::new();
    let guard = seat.world.index.pin();
    let Some(hit) = guard.find(seat.world.ops(owner), at) else { return };
    if seat.one_in(4) {
        // Through the hit, which knows a version in which it is covered, unless it would have to wait.
        match hit.read_begin(at) {
            Err(BeginError::WouldWait) => {}
            begun => return note_begun(seat, &patience, begun, |ticket| hit.read_retry(ticket)),
        }
    }
    let held = hit.hold();
    drop(guard);
    let begun = match seat.below(3) {
        0 => held.read_begin(at),
        1 => held.read_begin_timeout(at, WAIT_LIMIT),
        _ => held.read_begin_timeout(at, SHORT_WAIT),
    };
    note_begun(seat, &patience, begun, |ticket| held.read_retry(ticket));
}

fn note_begun<'n>(
    seat: &Seat,
    patience: &Patience,
    begun: Result<Ticket<'n>, BeginError>,
    retry: impl FnOnce(Ticket<'n>) -> bool,
) {
    match begun {
        Ok(ticket) => {
            std::thread::yield_now();
            let was_stale = ticket.is_stale();
            let must_retry = retry(ticket);
            seat.expect(must_retry || !was_stale, || "a ticket that was stale is not".to_owned());
            seat.mark(if must_retry { Mark::FillsRetried } else { Mark::Fills });
        }
        Err(BeginError::Closed) => seat.mark(Mark::RefusedByClose),
        Err(BeginError::NotCovered | BeginError::Removed) => seat.mark(Mark::NotCovered),
        Err(BeginError::TimedOut) if !patience.is_over() => seat.mark(Mark::BeginTimeouts),
        Err(error) => seat.fault(|| format!("a read could not begin: {error}")),
    }
}

/// More sections at once than there are places; until somebody has waited for the ones that found none.
pub(crate) fn overflow(seat: &Seat) {
    let (world, until) = (&seat.world, Instant::now() + OVERFLOW_LIMIT);
    let waits_before = world.index.stats().read_begin_waits;
    // Some are refused, by those that are everywhere.
    let begun = (0..10 * TOO_MANY).filter_map(|at| begin(seat, Span::point(NOWHERE + at)));
    let sections: Vec<_> = begun.take(TOO_MANY as usize).collect();
    if (sections.len() as u64) < TOO_MANY {
        return;
    }
    seat.mark(Mark::Overflow);
    // Its own reads would wait for itself; a removal waits for callbacks only, of which none runs.
    if let Some(Entry { id, owner, registration }) = changes::insert_at(seat, None, TOLD, Span::point(NOWHERE), None) {
        check_refused(seat, registration.read_begin(Interval::point(NOWHERE)));
        let back = changes::remove_entry(seat, Entry { id, owner, registration }, seat.one_in(2));
        seat.expect(back.is_none(), || "a removal beside an overflowing section is refused".to_owned());
    }
    while Instant::now() < until && !world.is_resting() {
        seat.doing(Deed::Overflow);
        std::thread::sleep(Duration::from_micros(200));
        if world.index.stats().read_begin_waits > waits_before {
            seat.mark(Mark::OverflowWait);
            break;
        }
    }
    drop(sections);
}

/// Waits for all callbacks that run.
pub(crate) fn barrier(seat: &Seat) {
    let done = seat.world.index.barrier();
    seat.expect(done.is_ok() != seat.is_in_callback(), || "a barrier was refused outside of callbacks".to_owned());
    seat.mark(Mark::Barrier);
}

/// Closes the index, once, in the middle of everything.
pub(crate) fn close(seat: &Seat) {
    let world = &seat.world;
    if world.is_closing.swap(true, Ordering::SeqCst) {
        return;
    }
    let started = seat.start();
    let closed = catch_unwind(AssertUnwindSafe(|| world.index.close()));
    world.is_closed.store(true, Ordering::SeqCst);
    match closed {
        Ok(Ok(version)) => seat.log_nothing(started, version),
        Ok(Err(error)) => seat.fault(|| format!("a close was refused: {error}")),
        Err(_) => seat.fault(|| "a close panicked".to_owned()),
    }
    let again = world.index.close();
    seat.expect(again.is_ok(), || format!("a second close: {again:?}"));
    seat.mark(Mark::Closed);
}
