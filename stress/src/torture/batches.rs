//! Changes in batches: mixed ones, splits and merges.

use notifier_index::{Batch, Committed, Held, InsertKey, RemoveKey};

use super::actor::Actor;
use super::changes::{self, Place};
use super::marks::Mark;
use super::seat::Seat;
use super::world::{Entry, interval, span};
use crate::cli::TortureSabotage;
use crate::model::Change;
use crate::span::{NotifierId, Owner, Span};

/// Changes of one batch.
const PARTS: usize = 4;
/// Merged notifiers are no wider.
const WIDEST: u64 = 4096;

/// What was put into a batch besides updates, to be taken out of it or of what came of it.
struct Inserting<'w> {
    place: Place<'w>,
    key: InsertKey<Actor>,
    id: NotifierId,
    owner: Owner,
}

struct Removing<'w> {
    place: Place<'w>,
    key: RemoveKey<Actor>,
    id: NotifierId,
    owner: Owner,
    held: Held<Actor>,
}

fn add_insert<'w>(
    seat: &'w Seat,
    batch: &mut Batch<'_>,
    (slot, place): (usize, Place<'w>),
    (owner, to): (Owner, Span),
    log: &mut Vec<Change>,
) -> Option<Inserting<'w>> {
    let actor = changes::actor(seat, Some(slot), None);
    let id = actor.id;
    match batch.insert(seat.world.ops(owner), interval(to), actor) {
        Ok(key) => {
            log.push(Change::Insert { owner, id, span: to });
            Some(Inserting { place, key, id, owner })
        }
        Err(error) => {
            seat.fault(|| format!("a batch refused an insertion: {error}"));
            None
        }
    }
}

fn add_remove<'w>(
    seat: &Seat,
    batch: &mut Batch<'_>,
    mut place: Place<'w>,
    log: &mut Vec<Change>,
) -> Option<Removing<'w>> {
    let Entry { id, owner, registration } = place.take()?;
    let held = registration.hold();
    match batch.remove(registration) {
        Ok(key) => {
            log.push(Change::Remove { id });
            Some(Removing { place, key, id, owner, held })
        }
        Err(error) => {
            seat.fault(|| format!("a batch refused a removal: {error}"));
            *place = Some(Entry { id, owner, registration: error.into_registration() });
            None
        }
    }
}

fn add_update(
    seat: &Seat,
    (id, to): (NotifierId, Span),
    log: &mut Vec<Change>,
    done: Result<(), impl std::fmt::Display>,
) {
    match done {
        Ok(()) => log.push(Change::Update { id, span: to }),
        Err(error) => seat.fault(|| format!("a batch refused an update: {error}")),
    }
}

/// Commits and logs, or takes everything back; what came of it if it was committed.
fn commit<'b>(seat: &Seat, batch: Batch<'b>, log: &[Change], is_aborted: bool) -> Result<Committed, Batch<'b>> {
    if is_aborted {
        seat.mark(Mark::BatchAborted);
        return Err(batch);
    }
    if log.is_empty() {
        return Err(batch);
    }
    let started = seat.start();
    match batch.commit() {
        Ok(committed) => {
            seat.log_changes(started, committed.version(), log);
            Ok(committed)
        }
        Err(error) => {
            changes::note_refusal(seat, error.kind());
            Err(error.into_batch())
        }
    }
}

/// Puts everything where it belongs.
fn settle(
    seat: &Seat,
    outcome: Result<Committed, Batch<'_>>,
    inserting: Vec<Inserting<'_>>,
    removing: Vec<Removing<'_>>,
) {
    match outcome {
        Ok(mut committed) => {
            for Inserting { mut place, key, id, owner } in inserting {
                *place = committed.take(key).map(|registration| Entry { id, owner, registration });
                seat.expect(place.is_some(), || format!("no registration of notifier {id} came of a batch"));
            }
            removing.iter().for_each(|removing| removing.held.note_gone(committed.version()));
        }
        Err(mut batch) => {
            for Inserting { key, id, .. } in inserting {
                let payload = batch.take_payload(key);
                seat.expect(payload.is_some_and(|payload| payload.id == id), || "a batch lost a payload".to_owned());
            }
            for Removing { mut place, key, id, owner, .. } in removing {
                *place = batch.take_registration(key).map(|registration| Entry { id, owner, registration });
                seat.expect(place.is_some(), || format!("a batch lost the registration of {id}"));
            }
        }
    }
}

/// Some insertions, updates and removals.
pub(crate) fn mixed(seat: &Seat) {
    let world = &seat.world;
    let updated: Vec<(usize, Place<'_>)> = (0..PARTS / 2).filter_map(|_| changes::place(seat, false)).collect();
    let mut batch = world.index.batch();
    let (mut log, mut inserting, mut removing) = (Vec::new(), Vec::new(), Vec::new());
    for entry in updated.iter().filter_map(|(_, place)| place.as_ref()) {
        // Sometimes twice: the second has to find what the first has moved.
        for _ in 0..=seat.below(2) {
            let to = seat.draw(|draws| world.bounds(entry.owner, draws));
            add_update(seat, (entry.id, to), &mut log, batch.update(&entry.registration, interval(to)));
        }
    }
    for _ in 0..PARTS / 2 {
        if let Some((slot, place)) = changes::place(seat, true) {
            let owner = seat.draw(|draws| world.owner_of_slot(slot, draws));
            let to = seat.draw(|draws| world.bounds(owner, draws));
            inserting.extend(add_insert(seat, &mut batch, (slot, place), (owner, to), &mut log));
        }
        if let Some((_, place)) = changes::place(seat, false) {
            removing.extend(add_remove(seat, &mut batch, place, &mut log));
        }
    }
    let outcome = commit(seat, batch, &log, seat.one_in(8));
    settle(seat, outcome, inserting, removing);
}

/// One becomes two; no look-up sees a hole or a double cover.
pub(crate) fn split(seat: &Seat) {
    let Some((_, left)) = changes::place(seat, false) else { return };
    let Some((slot, place)) = changes::place(seat, true) else { return };
    let Some(entry) = left.as_ref() else { return };
    let whole = span(entry.registration.interval());
    if whole.start() == whole.last() {
        return;
    }
    let middle = whole.start() + seat.below(whole.last() - whole.start());
    let (left_part, right_part) = (Span::between(whole.start(), middle), Span::between(middle + 1, whole.last()));
    if seat.world.sabotage == Some(TortureSabotage::DropSplit) && seat.one_in(50) {
        return drop_split(seat, entry, left_part, right_part);
    }
    let (mut batch, mut log) = (seat.world.index.batch(), Vec::new());
    add_update(seat, (entry.id, left_part), &mut log, batch.update(&entry.registration, interval(left_part)));
    let inserting = add_insert(seat, &mut batch, (slot, place), (entry.owner, right_part), &mut log);
    let outcome = commit(seat, batch, &log, false);
    settle(seat, outcome, inserting.into_iter().collect(), Vec::new());
    seat.mark(Mark::Splits);
}

/// The sabotage: what is logged is a split, what is done is not.
fn drop_split(seat: &Seat, entry: &Entry, left: Span, right: Span) {
    let started = seat.start();
    if let Ok(version) = entry.registration.update(interval(left)) {
        let insert = Change::Insert { owner: entry.owner, id: seat.world.new_id(), span: right };
        seat.log_changes(started, version, &[Change::Update { id: entry.id, span: left }, insert]);
    }
}

/// Two become one.
pub(crate) fn merge(seat: &Seat) {
    let Some((_, one)) = changes::place(seat, false) else { return };
    let Some((_, other)) = changes::place(seat, false) else { return };
    let (Some(stays), Some(goes)) = (one.as_ref(), other.as_ref()) else { return };
    let (left, right) = (span(stays.registration.interval()), span(goes.registration.interval()));
    let hull = Span::between(left.start().min(right.start()), left.last().max(right.last()));
    let to = if hull.last() - hull.start() < WIDEST { hull } else { left };
    let (mut batch, mut log) = (seat.world.index.batch(), Vec::new());
    add_update(seat, (stays.id, to), &mut log, batch.update(&stays.registration, interval(to)));
    let removing = add_remove(seat, &mut batch, other, &mut log);
    let outcome = commit(seat, batch, &log, false);
    settle(seat, outcome, Vec::new(), removing.into_iter().collect());
    seat.mark(Mark::Merges);
}

/// Batches and what comes of them, dropped: registrations in them are removed by that, and tell no version.
pub(crate) fn drop_batch(seat: &Seat) {
    let Some((_, going)) = changes::place(seat, false) else { return };
    let Some((slot, place)) = changes::place(seat, true) else { return };
    let Some(_turn) = seat.world.unversioned.try_lock() else { return };
    let owner = seat.draw(|draws| seat.world.owner_of_slot(slot, draws));
    let to = seat.draw(|draws| seat.world.bounds(owner, draws));
    let (mut batch, mut log) = (seat.world.index.batch(), Vec::new());
    if let Some(removing) = add_remove(seat, &mut batch, going, &mut log) {
        changes::drop_unversioned(seat, vec![removing.id], || drop(batch));
        removing.held.note_gone(seat.world.index.version());
    }
    let (mut batch, mut log) = (seat.world.index.batch(), Vec::new());
    let Some(inserting) = add_insert(seat, &mut batch, (slot, place), (owner, to), &mut log) else { return };
    if let Ok(committed) = commit(seat, batch, &log, false) {
        changes::drop_unversioned(seat, vec![inserting.id], || drop(committed));
    }
    seat.mark(Mark::UnversionedRemoval);
}
