//! Changes one by one, each logged with the version that it returned.

use notifier_index::{BatchError, FoundOrInserted, Held, Registration, UpdateError, WaitError};
use parking_lot::RwLockWriteGuard;

use super::actor::Actor;
use super::marks::Mark;
use super::mixes::Deed;
use super::pages::Mirror;
use super::patience::{Patience, WAIT_LIMIT};
use super::seat::{Between, Seat, Unversioned};
use super::world::{EXTENTS, Entry, interval, span};
use crate::model::{Answer, Change, Query};
use crate::span::{Found, NotifierId, Owner, Span};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often a slot in the wanted state is looked for.
const ATTEMPTS: u32 = 6;
/// Notifiers inserted at once.
const MANY: usize = 5;

/// A slot, locked.
pub(crate) type Place<'w> = RwLockWriteGuard<'w, Option<Entry>>;

/// A slot that is free, or one that is not.
pub(crate) fn place(seat: &Seat, is_free: bool) -> Option<(usize, Place<'_>)> {
    (0..ATTEMPTS).find_map(|_| {
        let slot = seat.below(seat.world.slots.len() as u64) as usize;
        let place = seat.world.slots[slot].try_write()?;
        (place.is_none() == is_free).then_some((slot, place))
    })
}

/// A new payload.
pub(crate) fn actor(seat: &Seat, slot: Option<usize>, mirror: Option<Arc<Mirror>>) -> Actor {
    Actor::new(&seat.world.ledger, seat.world.new_id(), slot, mirror)
}

/// A change was refused, as it may be.
pub(crate) fn note_refusal(seat: &Seat, reason: BatchError) {
    match reason {
        BatchError::RetiredLimit(held_back) => {
            seat.mark(Mark::RefusedByLimit);
            // Of four kinds of holders, who together hold back more than the limit, that is the one which holds back most.
            let has_cause = seat.world.plan.is_hostile && held_back.bytes > seat.world.plan.retired_limit / 4;
            seat.expect(has_cause, || format!("refused for no cause that is there: {held_back}"));
        }
        BatchError::Closed => {
            seat.mark(Mark::RefusedByClose);
            let is_closing = seat.world.is_closing.load(Ordering::SeqCst);
            seat.expect(is_closing, || "refused as closed before anybody closed".to_owned());
        }
        other => seat.fault(|| format!("a change was refused: {other}")),
    }
}

/// Registers a notifier; it is found from now on.
pub(crate) fn insert_at(
    seat: &Seat,
    slot: Option<usize>,
    owner: Owner,
    span: Span,
    mirror: Option<Arc<Mirror>>,
) -> Option<Entry> {
    let (world, actor) = (&seat.world, actor(seat, slot, mirror));
    let id = actor.id;
    let was_closed = world.is_closed.load(Ordering::SeqCst);
    let started = seat.start();
    match world.index.insert(world.ops(owner), interval(span), actor) {
        Ok(registration) => {
            seat.log_change(started, registration.version(), Change::Insert { owner, id, span });
            seat.expect(!was_closed, || format!("notifier {id} was inserted after the close had returned"));
            Some(Entry { id, owner, registration })
        }
        Err(error) => {
            note_refusal(seat, error.reason.into());
            seat.expect(error.value.id == id, || "an insertion gave back another payload".to_owned());
            None
        }
    }
}

pub(crate) fn insert(seat: &Seat) {
    let Some((slot, mut place)) = place(seat, true) else { return remove(seat) };
    let world = &seat.world;
    let owner = seat.draw(|draws| world.owner_of_slot(slot, draws));
    let span = seat.draw(|draws| world.bounds(owner, draws));
    *place = insert_at(seat, Some(slot), owner, span, None);
}

pub(crate) fn find_or_insert(seat: &Seat) {
    let Some((slot, mut place)) = place(seat, true) else { return remove(seat) };
    let (world, owner) = (&seat.world, EXTENTS);
    let span = seat.draw(|draws| world.bounds(owner, draws));
    let least = world.index.version();
    let started = seat.start();
    let make = || actor(seat, Some(slot), None);
    match world.index.find_or_insert_with(world.ops(owner), interval(span), make) {
        Ok(FoundOrInserted::Found(held)) => note_found(seat, least, owner, span, &held),
        Ok(FoundOrInserted::Inserted(registration)) => {
            let (id, version) = (registration.payload().id, registration.version());
            seat.log_change(started, version, Change::Insert { owner, id, span });
            // Nobody else was there in that very version.
            let alone = Answer::Many(vec![Found { owner, id, span }]);
            seat.log_query(started, version, Query::FindAll { owner, span }, alone);
            seat.mark(Mark::InsertedInstead);
            *place = Some(Entry { id, owner, registration });
        }
        Err(error) => note_refusal(seat, error.reason.into()),
    }
}

fn note_found(seat: &Seat, least: u64, owner: Owner, wanted: Span, held: &Held<Actor>) {
    let most = seat.world.index.version();
    seat.expect(held.is_alive(), || "a dead notifier was found instead of inserted".to_owned());
    let found = Found { owner, id: held.id, span: span(held.interval()) };
    seat.log_between(Between { least, most, owner, span: wanted, found });
    seat.mark(Mark::FoundInstead);
}

/// Registers some as one version.
pub(crate) fn insert_many(seat: &Seat) {
    insert_many_of(seat, EXTENTS);
}

/// Registers some of this owner: built in one go, if they are its first.
pub(crate) fn insert_many_of(seat: &Seat, owner: Owner) {
    let world = &seat.world;
    let mut places: Vec<(usize, Place<'_>)> = Vec::new();
    for _ in 0..MANY {
        places.extend(place(seat, true));
    }
    let (mut items, mut changes) = (Vec::new(), Vec::new());
    for (slot, _) in &places {
        let (actor, span) = (actor(seat, Some(*slot), None), seat.draw(|draws| world.bounds(owner, draws)));
        changes.push(Change::Insert { owner, id: actor.id, span });
        items.push((interval(span), actor));
    }
    if items.is_empty() {
        return;
    }
    let started = seat.start();
    match world.index.insert_many(world.ops(owner), items) {
        Ok(registrations) => {
            seat.log_changes(started, registrations[0].version(), &changes);
            for (((_, place), registration), change) in places.iter_mut().zip(registrations).zip(changes) {
                **place = Some(Entry { id: change.id(), owner, registration });
            }
        }
        Err(error) => {
            seat.expect(error.value.count() == changes.len(), || "not all items came back".to_owned());
            note_refusal(seat, error.reason.into());
        }
    }
}

/// Moves, shrinks or grows a notifier; others may do the same to it at the same time.
pub(crate) fn update(seat: &Seat) {
    let slot = seat.below(seat.world.slots.len() as u64) as usize;
    let Some(place) = seat.world.slots[slot].try_read() else { return };
    let Some(entry) = place.as_ref() else { return };
    let to = match seat.below(2) {
        0 => seat.draw(|draws| seat.world.bounds(entry.owner, draws)),
        _ => nudged(seat, span(entry.registration.interval())),
    };
    update_to(seat, &entry.registration, entry.id, to);
}

fn nudged(seat: &Seat, now: Span) -> Span {
    let (by, other) = (seat.below(16), seat.below(16));
    match seat.below(3) {
        0 => Span::between(now.start().saturating_sub(by), now.last().saturating_add(other)),
        1 => Span::between(now.start().saturating_add(by).min(now.last()), now.last()),
        _ => Span::between(now.start(), now.last().saturating_sub(by).max(now.start())),
    }
}

/// Gives a notifier new bounds; false if that was refused.
pub(crate) fn update_to(seat: &Seat, registration: &Registration<Actor>, id: NotifierId, to: Span) -> bool {
    let started = seat.start();
    match registration.update(interval(to)) {
        Ok(version) => {
            seat.log_change(started, version, Change::Update { id, span: to });
            return true;
        }
        Err(UpdateError::RetiredLimit(held_back)) => note_refusal(seat, BatchError::RetiredLimit(held_back)),
        Err(error) => seat.fault(|| format!("an update was refused: {error}")),
    }
    false
}

/// Removes a notifier, preferably one whose callback waits for that.
pub(crate) fn remove(seat: &Seat) {
    // Relaxed: a hint.
    let hint = seat.world.lingering.load(Ordering::Relaxed);
    let wanted = match hint {
        0 => None,
        slot => seat.world.slots[slot - 1].try_write().filter(|place| place.is_some()),
    };
    let Some(mut place) = wanted.or_else(|| Some(place(seat, false)?.1)) else { return };
    let Some(entry) = place.take() else { return };
    *place = remove_entry(seat, entry, hint != 0);
}

/// Removes a notifier in one of the ways that there are. It comes back where that is refused.
pub(crate) fn remove_entry(seat: &Seat, entry: Entry, is_deferred: bool) -> Option<Entry> {
    let Entry { id, owner, registration } = entry;
    let back = |registration| Some(Entry { id, owner, registration });
    let held = (is_deferred || !seat.one_in(4)).then(|| registration.hold());
    let started = seat.start();
    if !is_deferred && seat.one_in(3) {
        seat.doing(Deed::RemoveWait);
        match registration.remove() {
            Ok(version) => {
                seat.log_change(started, version, Change::Remove { id });
                note_removed(seat, held, version, true);
                return None;
            }
            Err(error) => {
                seat.expect(seat.is_in_callback(), || format!("a removal was refused: {error}"));
                seat.mark(Mark::WouldDeadlock);
                return back(error.value);
            }
        }
    }
    match registration.remove_deferred() {
        Ok(removal) => {
            seat.log_change(started, removal.version(), Change::Remove { id });
            if let Some(held) = &held {
                held.note_gone(removal.version());
            }
            let is_waited_for = !seat.is_in_callback() && (is_deferred || seat.one_in(2));
            if is_waited_for {
                wait(seat, &removal, held.as_ref());
            }
            note_removed(seat, held, removal.version(), is_waited_for);
            None
        }
        Err(error) => {
            seat.fault(|| format!("a deferred removal was refused: {error}"));
            back(error.value)
        }
    }
}

/// Waits for the callbacks of a removed notifier.
pub(crate) fn wait(seat: &Seat, removal: &notifier_index::Removal<Actor>, held: Option<&Held<Actor>>) {
    seat.doing(Deed::RemoveWait);
    if held.is_some_and(|held| held.is_running()) {
        seat.mark(Mark::RemoveWaited);
    }
    let patience = Patience::new();
    let waited = match seat.below(2) {
        0 => removal.wait(),
        _ => removal.wait_timeout(WAIT_LIMIT),
    };
    let waited = match waited {
        Err(WaitError::TimedOut) if !patience.is_over() => removal.wait(),
        waited => waited,
    };
    seat.expect(waited.is_ok(), || format!("a wait for the callbacks of a removed notifier: {waited:?}"));
}

fn note_removed(seat: &Seat, held: Option<Held<Actor>>, version: u64, is_waited_for: bool) {
    let Some(held) = held else { return };
    held.note_gone(version);
    if is_waited_for {
        held.note_waited();
    }
    seat.expect(!held.is_live() && held.is_alive(), || {
        format!("a held notifier after its removal: {}", held.is_live())
    });
    if seat.one_in(4) {
        seat.kept.borrow_mut().holds.push_back(held);
    }
}

/// Drops a registration, which removes the notifier and tells no version.
pub(crate) fn drop_registration(seat: &Seat) {
    let Some((_, mut place)) = place(seat, false) else { return };
    let Some(_turn) = seat.world.unversioned.try_lock() else { return };
    let Some(entry) = place.take() else { return };
    let (id, held) = (entry.id, entry.registration.hold());
    drop_unversioned(seat, vec![id], || drop(entry));
    note_removed(seat, Some(held), seat.world.index.version(), false);
    seat.mark(Mark::UnversionedRemoval);
}

/// Runs what removes these notifiers without telling versions. The caller has the turn.
pub(crate) fn drop_unversioned(seat: &Seat, ids: Vec<NotifierId>, act: impl FnOnce()) {
    let above = seat.world.index.version();
    let started = seat.start();
    act();
    let ended = seat.clock.end();
    let most = seat.world.index.version();
    seat.log_unversioned(Unversioned { above, most, started: started.0, ended, ids });
}
