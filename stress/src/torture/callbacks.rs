//! What callbacks do: take down what they mirror, and everything that they are allowed to and more.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use notifier_index::{Invalidating, Reason, WaitError, WouldBlock};

use super::actor::{Actor, stage};
use super::batches;
use super::changes;
use super::marks::Mark;
use super::seat::Seat;
use super::sections;
use super::world::{Entry, interval, span};
use crate::model::Change;
use crate::span::Span;

/// How long a callback waits to be removed under way.
const LINGER: Duration = Duration::from_millis(8);
/// Callbacks inside one another.
const DEEPEST: u32 = 2;

/// A panic that is part of the torture.
pub(crate) struct Planned;

/// One callback more on this thread, until it is dropped.
struct Deeper<'s>(&'s Seat);

impl<'s> Deeper<'s> {
    fn new(seat: &'s Seat) -> Self {
        seat.depth.set(seat.depth.get() + 1);
        Deeper(seat)
    }
}

impl Drop for Deeper<'_> {
    fn drop(&mut self) {
        self.0.depth.set(self.0.depth.get() - 1);
    }
}

/// The first pass.
pub(crate) fn told(actor: &Actor, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
    let torn = actor.mirror.as_ref().map(|mirror| mirror.0.lock().tear_down(span(told.interval())));
    let Some(seat) = Seat::current() else { return Ok(()) };
    let _deeper = Deeper::new(&seat);
    seat.beat();
    match torn {
        Some(count) => seat.mark_many(Mark::TornDown, count),
        None if told.reason() == Reason::Release => {}
        None => return act(&seat, actor, told),
    }
    Ok(())
}

/// The second pass.
pub(crate) fn finish(_: &Actor, _: &Invalidating<'_>) {
    let Some(seat) = Seat::current() else { return };
    let _deeper = Deeper::new(&seat);
    if seat.one_in(64) {
        std::thread::yield_now();
    }
}

fn act(seat: &Seat, actor: &Actor, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
    match seat.below(128) {
        0..=3 if !told.may_block() || seat.one_in(4) => return refuse(seat, told),
        4..=5 => changed(seat, changes::insert),
        6..=7 => changed(seat, changes::update),
        8 => changed(seat, batches::mixed),
        9..=11 => changed(seat, changes::remove),
        12..=15 => remove_itself(seat, actor),
        16..=17 => linger(seat, actor),
        18 => {
            let refused = seat.world.index.barrier();
            seat.expect(refused.is_err(), || "a barrier inside a callback is not refused".to_owned());
            seat.mark(Mark::WouldDeadlock);
        }
        19..=20 => read_its_own(seat, actor, told),
        21 if seat.depth.get() < DEEPEST => sections::section(seat),
        22 if seat.world.plan.is_hostile => resume_unwind(Box::new(Planned)),
        23..=26 => std::thread::yield_now(),
        _ => {}
    }
    Ok(())
}

fn refuse(seat: &Seat, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
    let world = &seat.world;
    // Relaxed: counts that are compared at the end.
    world.refused.fetch_add(1, Ordering::Relaxed);
    if told.may_block() {
        world.refused_blocking.fetch_add(1, Ordering::Relaxed);
    }
    Err(WouldBlock)
}

fn changed(seat: &Seat, change: fn(&Seat)) {
    change(seat);
    seat.mark(Mark::ChangedInCallback);
}

/// Removes the notifier whose callback this is; its wait is refused.
fn remove_itself(seat: &Seat, actor: &Actor) {
    let Some(mut place) = actor.slot.and_then(|slot| seat.world.slots[slot].try_write()) else { return };
    if place.as_ref().is_none_or(|entry| entry.id != actor.id) {
        return;
    }
    let Some(Entry { id, registration, .. }) = place.take() else { return };
    let started = seat.start();
    match registration.remove_deferred() {
        Ok(removal) => {
            seat.log_change(started, removal.version(), Change::Remove { id });
            actor.note_gone(removal.version());
            let waited = removal.wait();
            seat.expect(waited == Err(WaitError::WouldDeadlock), || {
                format!("a wait for the very callback that waits: {waited:?}")
            });
            seat.mark(Mark::RemovedInCallback);
        }
        Err(error) => seat.fault(|| format!("a deferred removal in a callback was refused: {error}")),
    }
}

/// Waits until it is removed under way, one callback at a time.
fn linger(seat: &Seat, actor: &Actor) {
    let Some(slot) = actor.slot.filter(|_| actor.stage() == stage::STANDS) else { return };
    let hint = &seat.world.lingering;
    // Relaxed: a hint.
    if hint.compare_exchange(0, slot + 1, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    let until = Instant::now() + LINGER;
    while actor.stage() == stage::STANDS && Instant::now() < until && !seat.world.is_resting() {
        std::thread::sleep(Duration::from_micros(100));
    }
    hint.store(0, Ordering::Relaxed);
    if actor.stage() != stage::STANDS {
        seat.mark(Mark::RemovedUnderCallback);
    }
}

/// A read of what this very section is over is refused.
fn read_its_own(seat: &Seat, actor: &Actor, told: &Invalidating<'_>) {
    let Some(place) = actor.slot.and_then(|slot| seat.world.slots[slot].try_read()) else { return };
    let Some(entry) = place.as_ref().filter(|entry| entry.id == actor.id) else { return };
    let (range, bounds) = (span(told.interval()), span(told.bounds()));
    let common = Span::between(range.start().max(bounds.start()), range.last().min(bounds.last()));
    sections::check_refused(seat, entry.registration.read_begin(interval(common)));
}
