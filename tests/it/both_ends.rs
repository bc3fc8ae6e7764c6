//! The iterators of results from both ends: each hit once, whichever end it is taken from.

use std::collections::VecDeque;
use std::fmt::Debug;

use notifier_index::{AnyHit, Hit, Interval, NotifierIndex, Ops, Registration};

use crate::canary::Canary;
use crate::turn::together;
use crate::ways::{Eyes, between};

/// Takes from the ends as `is_front` says, and compares with a queue of what the front alone gives.
fn verify<I, T>(hits: I, is_front: impl Fn(usize) -> bool, name: impl Fn(&I::Item) -> T)
where
    I: DoubleEndedIterator + Clone + Debug,
    T: PartialEq + Debug,
{
    let mut expected: VecDeque<T> = hits.clone().map(|hit| name(&hit)).collect();
    let (mut hits, count) = (hits, expected.len());
    for step in 0..count + 4 {
        assert_eq!(format!("{hits:?}").matches("Hit(").count(), expected.len(), "what is still to come is listed");
        let (found, expected) = match is_front(step) {
            true => (hits.next(), expected.pop_front()),
            false => (hits.next_back(), expected.pop_back()),
        };
        assert_eq!(found.map(|hit| name(&hit)), expected, "step {step} of {count}");
    }
}

/// The front first, the back first, and both in turn, with every number of steps before the change of ends.
fn verify_all<I, T>(hits: &I, name: impl Fn(&I::Item) -> T + Copy)
where
    I: DoubleEndedIterator + Clone + Debug,
    T: PartialEq + Debug,
{
    for count in 0..=hits.clone().count() {
        verify(hits.clone(), |step| step < count, name);
        verify(hits.clone(), |step| step >= count, name);
        verify(hits.clone(), |step| step < count || step % 2 == 0, name);
    }
}

fn id(hit: &Hit<'_, Canary>) -> u64 {
    hit.payload().id()
}

fn place(hit: &AnyHit<'_>) -> (u64, Interval) {
    (hit.owner(), hit.interval())
}

/// Extents of ten addresses, and every fifth reaches over the next ones.
fn fill(index: &NotifierIndex, ops: &Ops<Canary>, count: u64) -> Vec<Registration<Canary>> {
    let extent = |id: u64| between(10 * id, 10 * id + if id.is_multiple_of(5) { 75 } else { 9 });
    (0..count).map(|id| index.insert(ops, extent(id), Canary::new(id)).unwrap()).collect()
}

#[test]
fn hits_are_taken_from_both_ends() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let _all = fill(&index, &ops, 60);
    let mut eyes = Eyes::new(&index);
    eyes.look_each(|_, view| {
        verify_all(&view.find_all(&ops, Interval::FULL), id);
        for start in (0..600).step_by(37) {
            verify_all(&view.find_all(&ops, between(start, start + 90)), id);
            verify_all(&view.containing(&ops, between(start, start + 3)), id);
        }
        assert_eq!(view.find_all(&ops, between(0, 99)).next_back().map(|hit| hit.start()), Some(90));
    });
}

#[test]
fn hits_of_all_owners_are_taken_from_both_ends() {
    let _turn = together();
    let index = NotifierIndex::new();
    let owners: Vec<Ops<Canary>> = (0..300).map(|_| index.register_passive_ops()).collect();
    eyes_agree(&index, 0);
    let mut all = Vec::new();
    // Beside the inline owners, at the ends of the table's nodes, and far from one another.
    for (count, owner) in [0, 1, 3, 4, 11, 13, 200, 259, 261, 299].into_iter().enumerate() {
        all.extend(fill(&index, &owners[owner], 3));
        eyes_agree(&index, 3 * (count + 1));
    }
    all.drain(6..24);
    eyes_agree(&index, 12);
}

#[test]
fn one_owner_alone_is_shared_by_both_ends() {
    let _turn = together();
    for number in [0, 1, 2, 4, 9, 70] {
        let index = NotifierIndex::new();
        let owners: Vec<Ops<Canary>> = (0..=number).map(|_| index.register_passive_ops()).collect();
        let _all = fill(&index, &owners[number], 40);
        eyes_agree(&index, 40);
    }
}

fn eyes_agree(index: &NotifierIndex, count: usize) {
    let guard = index.pin();
    let view = guard.view();
    assert_eq!(view.iter().rev().count(), count);
    verify_all(&view.iter(), place);
    verify_all(&view.overlapping(between(9, 14)), place);
    verify_all(&view.overlapping(between(5000, 6000)), place);
}
