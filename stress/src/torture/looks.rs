//! Looking things up: every query, logged; and quick loops in which one find in so many is.

use notifier_index::{Hit, Interval, Reader, View};

use super::actor::Actor;
use super::marks::Mark;
use super::seat::Seat;
use super::world::{EXTENTS, found, found_any, interval, span};
use crate::cli::TortureSabotage;
use crate::history::clock::Started;
use crate::model::{Answer, Query};
use crate::span::{Found, Owner, Span};
use crate::workload::Draws;

/// Finds between two looks at whether the round is over.
const CHUNK: u64 = 64;
/// Chunks of one go.
const CHUNKS: u64 = 16;
/// Queries of one `find_many`.
const MANY: usize = 16;

/// Draws a question.
fn question(seat: &Seat) -> Query {
    let owner = seat.draw(|draws| seat.world.any_owner(draws));
    let (address, span) = seat.draw(|draws| (seat.world.address(draws), seat.world.range(draws)));
    match seat.below(40) {
        0..=11 => Query::Find { owner, span },
        12..=16 => Query::FindAll { owner, span },
        17..=20 => Query::Containing { owner, span: Span::point(address) },
        21..=24 => Query::Overlapping { span },
        25..=28 => Query::FirstAfter { owner, address },
        29..=32 => Query::LastBefore { owner, address },
        33..=36 => Query::GapAt { owner, address },
        37 => {
            let spans = (0..MANY).map(|_| Span::point(seat.draw(|draws| seat.world.address(draws)))).collect();
            Query::FindMany { owner, spans }
        }
        38 => Query::LenOf { owner },
        _ => Query::Len,
    }
}

/// What the view says, with every payload in it checked.
pub(crate) fn answer(seat: &Seat, view: View<'_>, query: &Query) -> Answer {
    let (world, version) = (&*seat.world, view.version());
    let one =
        |owner: Owner, hit: Option<Hit<'_, Actor>>| Answer::One(hit.map(|hit| found(world, owner, &hit, version)));
    let many = |owner: Owner, hits: notifier_index::Hits<'_, Actor>| {
        Answer::Many(hits.map(|hit| found(world, owner, &hit, version)).collect())
    };
    match *query {
        Query::Find { owner, span } => one(owner, view.find(world.ops(owner), interval(span))),
        Query::FindAll { owner, span } => many(owner, view.find_all(world.ops(owner), interval(span))),
        Query::Containing { owner, span } => many(owner, view.containing(world.ops(owner), interval(span))),
        Query::Overlapping { span } => {
            Answer::Many(view.overlapping(interval(span)).filter_map(|hit| found_any(world, hit, version)).collect())
        }
        Query::FirstAfter { owner, address } => one(owner, view.first_after(world.ops(owner), address)),
        Query::LastBefore { owner, address } => one(owner, view.last_before(world.ops(owner), address)),
        Query::GapAt { owner, address } => Answer::Gap(view.gap_at(world.ops(owner), address).map(span)),
        Query::FindMany { owner, ref spans } => Answer::Each(find_many(seat, view, owner, spans)),
        Query::Len => Answer::Count(view.len()),
        Query::LenOf { owner } => Answer::Count(view.len_of(world.ops(owner))),
    }
}

fn find_many(seat: &Seat, view: View<'_>, owner: Owner, spans: &[Span]) -> Vec<Option<Found>> {
    let queries: Vec<Interval> = spans.iter().map(|span| interval(*span)).collect();
    let mut hits = vec![None; queries.len()];
    let answered = view.find_many(seat.world.ops(owner), &queries, &mut hits);
    seat.expect(answered.is_ok(), || format!("find_many was refused: {answered:?}"));
    hits.iter().map(|hit| hit.map(|hit| found(&seat.world, owner, &hit, view.version()))).collect()
}

/// Asks a view that was taken after `started`, and logs what it says.
pub(crate) fn ask_view(seat: &Seat, started: Started, floor: u64, view: View<'_>) -> (Query, Answer) {
    let query = question(seat);
    let answer = answer(seat, view, &query);
    check_floor(seat, floor, view.version());
    seat.mark(Mark::Finds);
    seat.log_query(started, view.version(), query.clone(), answer.clone());
    seat.mark_age(view.version());
    (query, answer)
}

/// What has returned before a look-up began is seen by it: nothing is older than that.
fn check_floor(seat: &Seat, floor: u64, version: u64) {
    if version < floor {
        seat.mark(Mark::PastBound);
    }
    seat.expect(version >= floor, || format!("a look-up saw version {version} although {floor} had returned before"));
}

/// One question in each way of reading.
pub(crate) fn ask(seat: &Seat, reader: &mut Reader, stale: Option<&notifier_index::Snapshot>) {
    let index = &seat.world.index;
    if let Some(stale) = stale
        && seat.world.sabotage == Some(TortureSabotage::StaleFind)
        && seat.one_in(64)
    {
        let (started, query) = (seat.start(), question(seat));
        let answer = answer(seat, stale.view(), &query);
        return seat.log_query(started, stale.view().version(), query, answer);
    }
    let (floor, started) = (seat.world.floor(), seat.start());
    match seat.below(3) {
        0 => drop(ask_view(seat, started, floor, index.pin().view())),
        1 => drop(ask_view(seat, started, floor, reader.view())),
        _ => drop(ask_view(seat, started, floor, index.snapshot().view())),
    }
}

/// Whom the quick loops ask about, and where.
fn point(seat: &Seat, draws: &mut Draws) -> Interval {
    Interval::point(seat.world.address(draws))
}

/// A find of a quick loop: logged if it is the turn of one, otherwise only checked.
#[inline]
fn quick_find<'v>(seat: &Seat, view: impl FnOnce() -> View<'v>, draws: &mut Draws, is_logged: bool) {
    let at = point(seat, draws);
    if !is_logged {
        let view = view();
        return check(seat, at, view.version(), view.find(seat.world.ops(EXTENTS), at));
    }
    let started = seat.start();
    let view = view();
    let hit = view.find(seat.world.ops(EXTENTS), at);
    let answer = Answer::One(hit.map(|hit| found(&seat.world, EXTENTS, &hit, view.version())));
    seat.log_query(started, view.version(), Query::Find { owner: EXTENTS, span: span(at) }, answer);
}

/// The payload is alive, was not removed by then, and covers what was asked for.
#[inline]
fn check(seat: &Seat, at: Interval, version: u64, hit: Option<Hit<'_, Actor>>) {
    let Some(hit) = hit else { return };
    let actor = hit.payload();
    seat.expect(actor.is_sound(version), || actor.complaint(version));
    seat.expect(hit.start() <= at.start() && at.start() <= hit.last(), || {
        format!("{at} was asked for, and {} found in version {version}", hit.interval())
    });
}

/// What a chunk of finds comes to.
fn note_chunk(seat: &Seat, floor: u64, version: u64, count: u64) {
    check_floor(seat, floor, version);
    seat.mark_age(version);
    seat.mark_many(Mark::Finds, count);
    seat.beat();
}

/// A thousand finds, each in the newest version.
pub(crate) fn reader_finds(seat: &Seat, reader: &mut Reader, draws: &mut Draws) {
    for _ in 0..CHUNKS {
        if seat.world.is_resting() {
            return;
        }
        let floor = seat.world.floor();
        let version = reader.view().version();
        for at in 0..CHUNK {
            quick_find(seat, || reader.view(), draws, at.is_multiple_of(seat.world.plan.stride));
        }
        note_chunk(seat, floor, version, CHUNK);
    }
}

/// The same under guards.
pub(crate) fn guard_finds(seat: &Seat, draws: &mut Draws) {
    for _ in 0..CHUNKS {
        if seat.world.is_resting() {
            return;
        }
        let floor = seat.world.floor();
        let mut guard = seat.world.index.pin();
        let version = guard.view().version();
        for at in 0..CHUNK {
            quick_find(seat, || guard.view(), draws, at.is_multiple_of(seat.world.plan.stride));
        }
        guard.repin();
        note_chunk(seat, floor, version, CHUNK);
    }
}

/// The same through snapshots, some finds in each.
pub(crate) fn snapshot_finds(seat: &Seat, draws: &mut Draws) {
    for _ in 0..CHUNKS {
        if seat.world.is_resting() {
            return;
        }
        let floor = seat.world.floor();
        let started = seat.start();
        let snapshot = match seat.below(2) {
            0 => seat.world.index.snapshot(),
            _ => seat.world.index.pin().snapshot(),
        };
        let view = snapshot.view();
        for _ in 0..CHUNK {
            let at = point(seat, draws);
            check(seat, at, view.version(), view.find(seat.world.ops(EXTENTS), at));
        }
        drop(ask_view(seat, started, floor, view));
        note_chunk(seat, floor, view.version(), CHUNK);
    }
}

/// Many finds at once.
pub(crate) fn many_finds(seat: &Seat, reader: &mut Reader, draws: &mut Draws) {
    for _ in 0..CHUNKS {
        if seat.world.is_resting() {
            return;
        }
        let floor = seat.world.floor();
        let queries: [Interval; MANY] = std::array::from_fn(|_| point(seat, draws));
        let view = reader.view();
        let mut hits = [None; MANY];
        let answered = view.find_many(seat.world.ops(EXTENTS), &queries, &mut hits);
        seat.expect(answered.is_ok(), || format!("find_many was refused: {answered:?}"));
        queries.iter().zip(hits).for_each(|(at, hit)| check(seat, *at, view.version(), hit));
        note_chunk(seat, floor, view.version(), MANY as u64);
    }
}
