//! What all benches share: the sets of intervals, the index and the locked baseline filled with them, the settings.

#![allow(dead_code, reason = "each bench uses its part")]

use std::time::Duration;

use criterion::Criterion;
use notifier_index::{Interval, NotifierIndex, Ops, Registration};
use stress::cli::Shape;
use stress::contender::locked::{LockedRegistration, MutexIndex};
use stress::span::{Found, Span};
use stress::workload::{Draws, FIRST_OWNER, Workload, draws};

/// Notifiers in a set.
pub(crate) const SIZES: [usize; 3] = [100, 10_000, 1_000_000];
/// Disjoint ones, and ones about four deep.
pub(crate) const SHAPES: [Shape; 2] = [Shape::Disjoint, Shape::Overlap];

/// Questions that a bench goes round in.
const QUERIES: usize = 4096;

/// Short times, so that all benches are done within minutes; the command line can ask for more.
pub(crate) fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(500))
        .without_plots()
        .configure_from_args()
}

/// A set, and who asks it what.
pub(crate) struct Set {
    pub(crate) workload: Workload,
    pub(crate) content: Vec<Found>,
    pub(crate) draws: Draws,
}

impl Set {
    pub(crate) fn new(shape: Shape, size: usize) -> Self {
        let workload = Workload::new(shape, size);
        Set { workload, content: workload.content(1), draws: draws(2, 0) }
    }

    /// Where the queries go: random addresses, seven in ten of which hit in a disjoint set.
    pub(crate) fn queries(&mut self) -> Vec<Interval> {
        let query = |_| interval(self.workload.query(&mut self.draws).1);
        (0..QUERIES).map(query).collect()
    }

    /// Queries between the notifiers of a disjoint set, and below those of an overlapping one: none hits.
    pub(crate) fn misses(&mut self) -> Vec<Interval> {
        let index = Ours::new(self);
        let guard = index.index.pin();
        let gaps: Vec<Interval> = self
            .queries()
            .into_iter()
            .filter_map(|query| guard.view().gap_at(&index.ops, query.start()))
            .map(|gap| Interval::point(gap.last()))
            .collect();
        if gaps.is_empty() {
            return vec![Interval::point(1)];
        }
        gaps
    }

    /// New bounds for notifiers drawn at random.
    pub(crate) fn moves(&mut self) -> Vec<(usize, Span)> {
        let size = self.content.len();
        let step = (size / 2).max(1) | 1;
        let moved = |number: usize| {
            let at = (number * step) % size;
            (at, self.workload.bounds(self.content[at].id, &mut self.draws))
        };
        (0..QUERIES).map(moved).collect()
    }
}

pub(crate) fn interval(span: Span) -> Interval {
    Interval::new(span.start(), span.last()).expect("a span is not inverted")
}

/// The index, filled.
pub(crate) struct Ours {
    pub(crate) index: NotifierIndex,
    pub(crate) ops: Ops<u64>,
    pub(crate) registrations: Vec<Registration<u64>>,
}

impl Ours {
    pub(crate) fn new(set: &Set) -> Self {
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops();
        let items = set.content.iter().map(|found| (interval(found.span), found.id));
        let registrations = index.insert_many(&ops, items).expect("memory");
        Ours { index, ops, registrations }
    }
}

/// The locked baseline, filled.
pub(crate) struct Locked {
    pub(crate) index: MutexIndex,
    pub(crate) registrations: Vec<LockedRegistration>,
}

impl Locked {
    pub(crate) fn new(set: &Set) -> Self {
        let index = MutexIndex::new();
        let insert = |found: &Found| index.insert(FIRST_OWNER, found.span, found.id).0;
        let registrations = set.content.iter().map(insert).collect();
        Locked { index, registrations }
    }
}

/// Goes round in a list.
pub(crate) struct Round<'l, T>(std::iter::Cycle<std::slice::Iter<'l, T>>);

impl<'l, T> Round<'l, T> {
    pub(crate) fn new(list: &'l [T]) -> Self {
        Round(list.iter().cycle())
    }

    /// The next one.
    #[inline]
    pub(crate) fn next(&mut self) -> &'l T {
        self.0.next().expect("the list is not empty")
    }
}
