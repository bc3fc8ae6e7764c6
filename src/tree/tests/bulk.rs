//! Building at once, for every size at which the shape changes.

use super::super::node::CAPACITY;
use super::super::{NodeCounts, Tree};
use super::world::World;
use crate::interval::Interval;

fn disjoint(count: u64) -> Vec<Interval> {
    (0..count).map(|index| Interval::from_ordered(10 * index, 10 * index + 5)).collect()
}

#[test]
fn every_size_makes_a_sound_tree() {
    let square = (CAPACITY * CAPACITY) as u64;
    let around = |count: u64| count.saturating_sub(3)..count + 4;
    for count in (0..5 * CAPACITY as u64).chain(around(square)).chain(around(2 * square)).chain(around(square * 5 / 2))
    {
        let world = World::bulk(&disjoint(count));
        assert_eq!(world.tree_ref().check(), Ok(()), "{count} entries");
        assert_eq!(world.tree.len(), count);
    }
    World::bulk(&disjoint(3 * square)).verify_all();
}

#[test]
fn full_leaves_are_made() {
    let counts = Tree::bulk_counts(CAPACITY * CAPACITY);
    assert_eq!(counts, NodeCounts { leaf: CAPACITY, inner: 1 });
}

#[test]
fn a_built_tree_shrinks_and_grows_as_any_other() {
    let mut world = World::bulk(&disjoint(300));
    for _ in 0..290 {
        world.remove(world.model.items.len() / 3);
        world.publish();
    }
    world.verify_all();
    disjoint(200).into_iter().for_each(|interval| world.insert(interval));
    world.verify_all();
}
