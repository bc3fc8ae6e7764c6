//! Changes in batches: mixed ones, splits and merges.

use notifier_index::{Batch, Committed, Held, InsertKey};

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

struct Removing {
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

fn add_remove<'b>(seat: &Seat, batch: &mut Batch<'b>, entry: &'b Entry, log: &mut Vec<Change>) -> Option<Removing> {
    let held = entry.registration.hold();
    match batch.remove(&entry.registration) {
        Ok(()) => {
            log.push(Change::Remove { id: entry.id });
            Some(Removing { held })
        }
        Err(error) => {
            seat.fault(|| format!("a batch refused a removal: {error}"));
            None
        }
    }
}

/// Empties the places of what a batch has removed; leaves them as they were if it was refused.
fn clear_removed(seat: &Seat, places: Vec<Place<'_>>, removing: &[Removing], version: Option<u64>) {
    let Some(version) = version else {
        let stays = |place: &Place<'_>| place.as_ref().is_none_or(|entry| entry.registration.is_live());
        return seat.expect(places.iter().all(stays), || "a refused batch removed something".to_owned());
    };
    removing.iter().for_each(|removing| removing.held.note_gone(version));
    for mut place in places {
        seat.expect(place.as_ref().is_some_and(|entry| !entry.registration.is_live()), || "still live".to_owned());
        *place = None;
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
            changes::note_refusal(seat, error.reason);
            Err(error.value)
        }
    }
}

/// Puts everything where it belongs; the version, if there is one.
fn settle(seat: &Seat, outcome: Result<Committed, Batch<'_>>, inserting: Vec<Inserting<'_>>) -> Option<u64> {
    match outcome {
        Ok(mut committed) => {
            for Inserting { mut place, key, id, owner } in inserting {
                *place = committed.take(key).map(|registration| Entry { id, owner, registration });
                seat.expect(place.is_some(), || format!("no registration of notifier {id} came of a batch"));
            }
            Some(committed.version())
        }
        Err(mut batch) => {
            for Inserting { key, id, .. } in inserting {
                let payload = batch.take_payload(key);
                seat.expect(payload.is_some_and(|payload| payload.id == id), || "a batch lost a payload".to_owned());
            }
            None
        }
    }
}

/// Some insertions, updates and removals.
pub(crate) fn mixed(seat: &Seat) {
    let world = &seat.world;
    let taken = || (0..PARTS / 2).filter_map(|_| changes::place(seat, false)).map(|(_, place)| place).collect();
    let (updated, removed): (Vec<Place<'_>>, Vec<Place<'_>>) = (taken(), taken());
    let mut batch = world.index.batch();
    let (mut log, mut inserting, mut removing) = (Vec::new(), Vec::new(), Vec::new());
    for entry in updated.iter().filter_map(|place| place.as_ref()) {
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
    }
    for entry in removed.iter().filter_map(|place| place.as_ref()) {
        removing.extend(add_remove(seat, &mut batch, entry, &mut log));
    }
    let outcome = commit(seat, batch, &log, seat.one_in(8));
    let version = settle(seat, outcome, inserting);
    clear_removed(seat, removed, &removing, version);
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
    settle(seat, outcome, inserting.into_iter().collect());
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
    let removing: Vec<_> = add_remove(seat, &mut batch, goes, &mut log).into_iter().collect();
    let outcome = commit(seat, batch, &log, false);
    let version = settle(seat, outcome, Vec::new());
    clear_removed(seat, vec![other], &removing, version);
    seat.mark(Mark::Merges);
}

/// Batches and what comes of them, dropped: the one leaves everything as it was, the other removes what it has inserted,
/// and tells no version.
pub(crate) fn drop_batch(seat: &Seat) {
    let Some((_, staying)) = changes::place(seat, false) else { return };
    let Some((slot, place)) = changes::place(seat, true) else { return };
    let Some(_turn) = seat.world.unversioned.try_lock() else { return };
    let owner = seat.draw(|draws| seat.world.owner_of_slot(slot, draws));
    let to = seat.draw(|draws| seat.world.bounds(owner, draws));
    if let Some(entry) = staying.as_ref() {
        let mut batch = seat.world.index.batch();
        add_remove(seat, &mut batch, entry, &mut Vec::new());
        drop(batch);
        seat.expect(entry.registration.is_live(), || "a dropped batch removed something".to_owned());
    }
    let (mut batch, mut log) = (seat.world.index.batch(), Vec::new());
    let Some(inserting) = add_insert(seat, &mut batch, (slot, place), (owner, to), &mut log) else { return };
    if let Ok(committed) = commit(seat, batch, &log, false) {
        changes::drop_unversioned(seat, vec![inserting.id], || drop(committed));
    }
    seat.mark(Mark::UnversionedRemoval);
}
