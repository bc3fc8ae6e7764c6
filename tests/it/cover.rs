//! A region that is always covered exactly once, while batches split and merge its pieces.
//!
//! ```text
//!   [------------------------]      split = { update left, insert right }
//!   [----------][------------]
//!   [------------------------]      merge = { update left, remove right }
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use notifier_index::{Interval, NotifierIndex, Ops, Registration, View};

use crate::canary::Canary;
use crate::draws::Draws;
use crate::forget::forget;
use crate::scope::{Handle, scope};
use crate::turn::together;
use crate::ways::{Eyes, Way, between};

const PARTS: u64 = 4;
const PART_BYTES: u64 = 4096;
/// Batches of each writer: at least so many, and then until the readers have seen enough.
const STEPS: usize = 1500;
const MOST_STEPS: usize = 200_000;
const SEEN_AT_LEAST: u64 = 500;

fn whole() -> Interval {
    between(0, PARTS * PART_BYTES - 1)
}

/// Every address of the region belongs to exactly one piece.
fn assert_exact_cover(view: View<'_>, ops: &Ops<Canary>) -> usize {
    let (mut next, mut count) = (0, 0);
    for hit in view.find_all(ops, whole()) {
        hit.payload().id();
        assert_eq!(hit.start(), next, "a hole or a double cover in version {}", view.version());
        next = hit.last() + 1;
        count += 1;
    }
    assert_eq!(next, whole().last() + 1, "the end is missing in version {}", view.version());
    assert_eq!(view.gap_at(ops, next / 2), None);
    count
}

fn split(
    index: &NotifierIndex,
    ops: &Ops<Canary>,
    pieces: &mut Vec<Registration<Canary>>,
    at: usize,
    draws: &mut Draws,
) {
    let old = pieces[at].interval();
    if old.start() == old.last() {
        return;
    }
    let middle = old.start() + draws.below(old.last() - old.start());
    let mut batch = index.batch();
    let insert_first = draws.below(2) == 0;
    let (left, right) = (between(old.start(), middle), between(middle + 1, old.last()));
    if !insert_first {
        batch.update(&pieces[at], left).unwrap();
    }
    let key = batch.insert(ops, right, Canary::new(right.start())).unwrap();
    if insert_first {
        batch.update(&pieces[at], left).unwrap();
    }
    let added = batch.commit().unwrap().take(key).unwrap();
    pieces.insert(at + 1, added);
}

fn merge(index: &NotifierIndex, pieces: &mut Vec<Registration<Canary>>, at: usize) {
    if at + 1 >= pieces.len() {
        return;
    }
    let right = pieces.remove(at + 1);
    let both = between(pieces[at].interval().start(), right.interval().last());
    let mut batch = index.batch();
    batch.remove(&right).unwrap();
    batch.update(&pieces[at], both).unwrap();
    let _ = batch.commit().unwrap();
}

fn split_and_merge(
    index: &NotifierIndex,
    ops: &Ops<Canary>,
    mut pieces: Vec<Registration<Canary>>,
    (seed, seen): (u64, &AtomicU64),
) {
    let mut draws = Draws::new(seed);
    for step in 0..MOST_STEPS {
        if step >= STEPS && seen.load(Ordering::Relaxed) >= SEEN_AT_LEAST {
            break;
        }
        let at = draws.below(pieces.len() as u64) as usize;
        if draws.below(100) < if pieces.len() < 60 { 60 } else { 40 } {
            split(index, ops, &mut pieces, at, &mut draws);
        } else {
            merge(index, &mut pieces, at);
        }
    }
    forget(pieces);
}

fn hammer(index: &NotifierIndex, ops: &Ops<Canary>, way: Way, done: &AtomicBool, seen: &AtomicU64) {
    let (mut eyes, mut draws, mut newest) = (Eyes::new(index), Draws::new(way as u64 + 1), 0);
    while !done.load(Ordering::Relaxed) {
        eyes.look(way, |view| {
            assert!(view.version() >= newest, "a version older than one seen before");
            if view.version() > newest {
                seen.fetch_add(1, Ordering::Relaxed);
            }
            newest = view.version();
            assert_exact_cover(view, ops);
        });
        for _ in 0..50 {
            let at = Interval::point(draws.below(PARTS * PART_BYTES));
            let is_there = eyes.look(way, |view| view.find(ops, at).is_some_and(|hit| hit.interval().covers(at)));
            assert!(is_there, "{at} was not covered");
        }
    }
}

#[test]
fn splits_and_merges_show_no_hole_and_no_double_cover() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let part = |number: u64| between(number * PART_BYTES, (number + 1) * PART_BYTES - 1);
    let parts: Vec<_> =
        (0..PARTS).map(|number| index.insert(&ops, part(number), Canary::new(number)).unwrap()).collect();
    let (done, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    scope(|scope| {
        for way in Way::ALL {
            let (index, ops, done, seen) = (&index, &ops, &done, &seen);
            scope.spawn(move || hammer(index, ops, way, done, seen));
        }
        let (index, ops, seen) = (&index, &ops, &seen);
        let writers: Vec<_> = parts
            .into_iter()
            .enumerate()
            .map(|(seed, part)| scope.spawn(move || split_and_merge(index, ops, vec![part], (seed as u64 + 77, seen))))
            .collect();
        let results: Vec<_> = writers.into_iter().map(Handle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
    let pieces = assert_exact_cover(index.pin().view(), &ops);
    assert_eq!((index.len(), index.pin().view().check()), (pieces, Ok(())));
    assert!(
        seen.load(Ordering::Relaxed) >= SEEN_AT_LEAST,
        "the readers saw too few versions for the test to mean anything"
    );
}
