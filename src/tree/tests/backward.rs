//! Enumeration from both ends, in every interleaving, against a queue.

use super::model::{Item, Model, item};
use super::visits;
use super::world::World;
use crate::interval::Interval;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Verifies that the ends, taken as `is_front` says, give what a queue gives, and go on saying that nothing is left.
fn verify(world: &World, bounds: (u64, u64), mut is_front: impl FnMut(usize) -> bool) {
    let mut expected = VecDeque::from(world.model.matching(bounds.0, bounds.1));
    let mut matching = world.tree_ref().matching(bounds.0, bounds.1);
    let count = expected.len();
    for step in 0..count + 4 {
        if step == count / 2 {
            assert!(matching.clone().map(item).eq(expected.iter().copied()), "a clone from step {step}");
            assert!(matching.clone().rev().map(item).eq(expected.iter().rev().copied()), "backward from step {step}");
        }
        let (found, expected) = match is_front(step) {
            true => (matching.next(), expected.pop_front()),
            false => (matching.next_back(), expected.pop_back()),
        };
        assert_eq!(found.map(item), expected, "step {step}, starts to {:#x}, ends from {:#x}", bounds.0, bounds.1);
    }
}

/// `count` intervals of 50 addresses, 100 apart, every `every`th long enough to reach over 40 of them.
fn spread(count: u64, every: u64) -> Vec<Interval> {
    let len = |at: u64| if at.is_multiple_of(every) { 4000 } else { 50 };
    (0..count).map(|at| Interval::from_ordered(1000 + 100 * at, 999 + 100 * at + len(at))).collect()
}

/// What overlaps, and what covers, windows that lie across the bounds of leaves.
fn windows(len: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..60).flat_map(move |at| {
        let (start, last) = (1000 + 100 * at, 1010 + 100 * (at + len));
        [(last, start), (start, last), (start, start), (last, last)]
    })
}

#[test]
fn every_interleaving_of_the_ends_gives_each_entry_once() {
    let worlds = [World::bulk(&spread(64, 1000)), World::of(spread(64, 13)), World::of(spread(3, 2)), World::new()];
    for world in &worlds {
        for bounds in windows(7) {
            let count = world.model.matching(bounds.0, bounds.1).len();
            assert!(count <= 14);
            for pattern in 0..1_u32 << (count + 1) {
                verify(world, bounds, |step| pattern >> step & 1 == 1);
            }
        }
    }
}

#[test]
fn the_ends_meet_wherever_the_front_stops() {
    let world =
        World::of(spread(200, 9).into_iter().chain(std::iter::repeat_n(Interval::from_ordered(9000, 9100), 90)));
    for bounds in windows(35).chain([(u64::MAX, 0), (9000, 9100), (0, 0), (u64::MAX, u64::MAX)]) {
        for front in 0..=world.model.matching(bounds.0, bounds.1).len() + 1 {
            verify(&world, bounds, |step| step < front);
            verify(&world, bounds, |step| step >= front);
        }
        verify(&world, bounds, |step| step % 2 == 0);
    }
}

#[test]
fn the_last_addresses_are_enumerated_backward() {
    let ends = [u64::MAX - 2, u64::MAX - 1, u64::MAX];
    let all = (0..40).map(|at| Interval::from_ordered(ends[at % 3], u64::MAX));
    let world = World::of(all.chain((0..40).map(|_| Interval::FULL)).chain([Interval::point(0)]));
    for bounds in [(u64::MAX, 0), (u64::MAX, u64::MAX), (0, 0), (0, u64::MAX), (u64::MAX - 1, u64::MAX)] {
        verify(&world, bounds, |_| false);
        verify(&world, bounds, |step| step % 3 == 0);
    }
}

#[test]
fn a_step_backward_takes_two_descents_at_most() {
    let mut intervals = spread(400, 9);
    intervals.extend((0..400).step_by(9).map(|at| Interval::from_ordered(1000 + 100 * at, 1000 + 321 * at)));
    let world = World::of(intervals);
    let levels = u64::from(world.tree.height()) + 1;
    for start in (900..180_000_u64).step_by(331) {
        let mut matching = world.tree_ref().matching(start + start % 700, start);
        loop {
            let (visited, found) = visits::of(|| matching.next_back());
            let count: u64 = visited.iter().sum();
            assert!(count <= 2 * levels, "{count} nodes, from {start}");
            if found.is_none() {
                break;
            }
        }
    }
}

/// An enumeration that never goes backward visits what it visited before there was a back.
#[test]
fn the_front_alone_visits_each_node_once() {
    let world = World::of(spread(400, 9));
    let (visited, count) = visits::of(|| world.tree_ref().matching(u64::MAX, 0).count());
    let (backward, _) = visits::of(|| world.tree_ref().matching(u64::MAX, 0).rev().count());
    assert_eq!(count, 400);
    assert!(visited.iter().zip(&backward).all(|(forward, backward)| forward <= backward));
    assert_eq!(visited[usize::from(world.tree.height())], 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_interleaving_agrees_with_a_queue(
        ends in prop::collection::vec((0..300_u64, 0..40_u64), 0..200),
        queries in prop::collection::vec((0..300_u64, 0..300_u64), 20),
        sides in prop::collection::vec(any::<bool>(), 256),
    ) {
        let world = World::of(ends.into_iter().map(|(start, len)| Interval::from_ordered(start, start + len)));
        queries.into_iter().for_each(|bounds| verify(&world, bounds, |step| sides[step % sides.len()]));
    }
}

/// The check itself: a queue that lost an entry is noticed.
#[test]
#[should_panic(expected = "step")]
fn a_missing_entry_is_noticed() {
    let mut world = World::of(spread(40, 9));
    let items: Vec<Item> = world.model.items.iter().skip(1).copied().collect();
    world.model = Model { items };
    verify(&world, (u64::MAX, 0), |_| false);
}
