//! The three ways of reading behind one door, and the model's questions put to a view.

use notifier_index::{Hit, Interval, NotifierIndex, Ops, Reader, View};
use stress::model::{Answer, Query};
use stress::span::{Found, Owner, Span};

use crate::canary::Canary;

/// How a look-up is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Guard,
    Reader,
    Snapshot,
}

impl Way {
    pub(crate) const ALL: [Way; 3] = [Way::Guard, Way::Reader, Way::Snapshot];
}

/// What one thread looks at an index with.
pub(crate) struct Eyes<'i> {
    index: &'i NotifierIndex,
    reader: Reader,
}

impl<'i> Eyes<'i> {
    pub(crate) fn new(index: &'i NotifierIndex) -> Self {
        Eyes { index, reader: index.reader() }
    }

    /// Looks at the newest version in one way.
    pub(crate) fn look<R>(&mut self, way: Way, look: impl FnOnce(View<'_>) -> R) -> R {
        match way {
            Way::Guard => look(self.index.pin().view()),
            Way::Reader => look(self.reader.view()),
            Way::Snapshot => look(self.index.snapshot().view()),
        }
    }

    /// Looks in all three ways.
    pub(crate) fn look_each(&mut self, mut look: impl FnMut(Way, View<'_>)) {
        for way in Way::ALL {
            self.look(way, |view| look(way, view));
        }
    }
}

pub(crate) fn interval(span: Span) -> Interval {
    Interval::new(span.start(), span.last()).expect("a span is not inverted")
}

/// `start ..= last`.
pub(crate) fn between(start: u64, last: u64) -> Interval {
    interval(Span::between(start, last))
}

pub(crate) fn span(interval: Interval) -> Span {
    Span::between(interval.start(), interval.last())
}

/// The names of all that overlap, in the order in which they are found.
pub(crate) fn ids(view: View<'_>, ops: &Ops<Canary>, interval: Interval) -> Vec<u64> {
    let hits = view.find_all(ops, interval);
    hits.map(|hit| hit.payload().id()).collect()
}

fn found(owner: Owner, view: View<'_>, hit: Hit<'_, Canary>) -> Found {
    assert_eq!(hit.version(), view.version());
    assert_eq!(between(hit.start(), hit.last()), hit.interval());
    Found { owner, id: hit.payload().id(), span: span(hit.interval()) }
}

/// Puts a question to a view; `owners[n]` is the model's owner `n`.
pub(crate) fn ask(view: View<'_>, owners: &[Ops<Canary>], query: &Query) -> Answer {
    let ops = |owner: Owner| &owners[owner as usize];
    let one = |owner, hit: Option<Hit<'_, Canary>>| Answer::One(hit.map(|hit| found(owner, view, hit)));
    match *query {
        Query::Find { owner, span } => one(owner, view.find(ops(owner), interval(span))),
        Query::FindAll { owner, span } => {
            let hits = view.find_all(ops(owner), interval(span));
            Answer::Many(hits.map(|hit| found(owner, view, hit)).collect())
        }
        Query::Containing { owner, span } => {
            let hits = view.containing(ops(owner), interval(span));
            Answer::Many(hits.map(|hit| found(owner, view, hit)).collect())
        }
        Query::Overlapping { span } => Answer::Many(overlapping(view, owners, span)),
        Query::FirstAfter { owner, address } => one(owner, view.first_after(ops(owner), address)),
        Query::LastBefore { owner, address } => one(owner, view.last_before(ops(owner), address)),
        Query::GapAt { owner, address } => Answer::Gap(view.gap_at(ops(owner), address).map(span)),
        Query::FindMany { owner, ref spans } => Answer::Each(find_many(view, owner, ops(owner), spans)),
        Query::Len => Answer::Count(view.len()),
        Query::LenOf { owner } => Answer::Count(view.len_of(ops(owner))),
    }
}

fn overlapping(view: View<'_>, owners: &[Ops<Canary>], span: Span) -> Vec<Found> {
    let hits = view.overlapping(interval(span));
    let typed = hits.map(|hit| {
        let owner = owners.iter().position(|ops| ops.number() == hit.owner()).expect("a known owner");
        (owner as Owner, hit.downcast(&owners[owner]).expect("its own owner"))
    });
    typed.map(|(owner, hit)| found(owner, view, hit)).collect()
}

fn find_many(view: View<'_>, owner: Owner, ops: &Ops<Canary>, spans: &[Span]) -> Vec<Option<Found>> {
    let queries: Vec<Interval> = spans.iter().copied().map(interval).collect();
    let mut hits = vec![None; queries.len()];
    view.find_many(ops, &queries, &mut hits).expect("our own owner, equal lengths");
    hits.into_iter().map(|hit| hit.map(|hit| found(owner, view, hit))).collect()
}
