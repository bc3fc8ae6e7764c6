//! What searches and edits cost: nodes visited, nodes copied.

use super::super::node::{CAPACITY, Inner, Kind, Leaf, NodeRef};
use super::super::{NodeCounts, Tree, TreeRef};
use super::visits;
use super::world::World;
use crate::interval::Interval;

/// `count` intervals of 50 addresses, 100 apart, from 1000 on.
fn spread(count: u64) -> Vec<Interval> {
    (0..count).map(|index| Interval::from_ordered(1000 + 100 * index, 1049 + 100 * index)).collect()
}

fn visit_count(search: impl FnOnce() -> bool) -> (u64, bool) {
    let (visits, found) = visits::of(search);
    (visits.iter().sum(), found)
}

#[test]
fn nodes_have_the_size_that_was_planned() {
    assert_eq!(size_of::<Tree>(), 40);
    if CAPACITY == 16 {
        assert_eq!((size_of::<Leaf>(), size_of::<Inner>()), (448, 576));
    }
}

#[test]
fn a_query_outside_visits_no_more_than_one_node() {
    let world = World::bulk(&spread(1000));
    let tree = world.tree_ref();
    for (start, last) in [(0, 0), (0, 999), (999, 999), (100_950, 100_950), (200_000, u64::MAX), (u64::MAX, u64::MAX)] {
        let query = Interval::from_ordered(start, last);
        let (count, found) = visit_count(|| tree.first_overlap(query).is_some());
        assert!(count <= 1 && !found, "{query} visited {count}");
        let (count, found) = visit_count(|| tree.matching(last, start).next().is_some());
        assert!(count <= 1 && !found, "{query} visited {count}");
    }
}

#[test]
fn one_descent_decides() {
    let world = World::bulk(&spread(1000));
    let levels = u64::from(world.tree.height()) + 1;
    for start in (990..101_000).step_by(17) {
        let query = Interval::from_ordered(start, start + 3);
        let (count, _) = visit_count(|| world.tree_ref().first_overlap(query).is_some());
        assert!(count <= levels);
    }
}

#[test]
fn enumeration_visits_at_most_one_fruitless_child_a_level() {
    let mut intervals = spread(400);
    intervals.extend((0..400).step_by(9).map(|index| Interval::from_ordered(1000 + 100 * index, 1000 + 321 * index)));
    intervals.sort();
    let world = World::bulk(&intervals);
    let tree = world.tree_ref();
    for (step, start) in (900..180_000u64).step_by(331).enumerate() {
        let (greatest_start, least_last) = (start + step as u64 % 700, start);
        let (visited, _) = visits::of(|| tree.matching(greatest_start, least_last).count());
        let mut fruitful = [0; 64];
        let (_, _) = visits::of(|| count_fruitful(tree, greatest_start, least_last, &mut fruitful));
        for (height, (&visited, &fruitful)) in visited.iter().zip(&fruitful).enumerate() {
            assert!(visited <= fruitful + 1, "{visited} nodes of height {height}, {fruitful} of them fruitful");
        }
    }
}

/// Counts, for each height, the nodes with a match below.
fn count_fruitful(tree: TreeRef<'_>, greatest_start: u64, least_last: u64, counts: &mut visits::Visits) {
    fn walk(node: NodeRef<'_>, height: u8, fits: &dyn Fn(i64, i64) -> bool, counts: &mut visits::Visits) -> bool {
        let fruitful = match node.kind() {
            Kind::Leaf(leaf) => (0..usize::from(leaf.header.len)).any(|slot| fits(leaf.start[slot], leaf.last[slot])),
            Kind::Inner(inner) => {
                let children = (0..CAPACITY).filter_map(|slot| inner.child(slot));
                children.map(|child| walk(child, height - 1, fits, counts)).filter(|&fruitful| fruitful).count() > 0
            }
        };
        counts[usize::from(height)] += u64::from(fruitful);
        fruitful
    }
    let bounds = (super::super::node::flip(greatest_start), super::super::node::flip(least_last));
    if let Some(root) = tree.root() {
        walk(root, tree.tree.height, &|start, last| start <= bounds.0 && last >= bounds.1, counts);
    }
}

#[test]
fn one_of_many_identical_intervals_is_located_in_one_descent() {
    let world = World::of(std::iter::repeat_n(Interval::from_ordered(7, 9), 1000));
    let levels = u64::from(world.tree.height()) + 1;
    for serial in 1..=1000 {
        let (count, found) = visit_count(|| world.tree_ref().locate(7, serial).is_some());
        assert!(found && count == levels);
    }
}

#[test]
fn an_update_that_keeps_its_place_copies_one_path() {
    let mut world = World::bulk(&spread(1000));
    let path = NodeCounts { leaf: 1, inner: usize::from(world.tree.height()) };
    for index in (0..1000).step_by(7) {
        let old = world.model.items[index].interval;
        let to = Interval::from_ordered(old.start() + 1, old.last() + 2);
        let entry = world.model.items[index];
        // SAFETY: [T1] [T2] The entries live as long as the world; the store hands out fresh allocations.
        let updated = unsafe { world.tree.update(&mut world.store, old.start(), entry.serial, to) };
        assert_eq!(updated, Some(old));
        assert_eq!(world.store.taken(), path);
        assert_eq!(world.store.replaced_count(), path.leaf + path.inner);
        world.abort();
    }
}

#[test]
fn an_update_to_the_same_interval_copies_nothing() {
    let mut world = World::bulk(&spread(100));
    let item = world.model.items[50];
    // SAFETY: [T1] [T2] The entries live as long as the world; the store hands out fresh allocations.
    let updated = unsafe { world.tree.update(&mut world.store, item.interval.start(), item.serial, item.interval) };
    assert_eq!(updated, Some(item.interval));
    assert_eq!(world.store.taken(), NodeCounts::default());
}

#[test]
fn a_batch_changes_its_own_nodes_in_place() {
    let mut world = World::bulk(&spread(1000));
    let height = usize::from(world.tree.height());
    for turn in 0..64 {
        let item = world.model.items[500];
        let to = Interval::from_ordered(item.interval.start(), item.interval.last() + 1);
        // SAFETY: [T1] [T2] The entries live as long as the world; the store hands out fresh allocations.
        unsafe { world.tree.update(&mut world.store, to.start(), item.serial, to) };
        world.model.items[500].interval = to;
        let taken = if turn == 0 { NodeCounts { leaf: 1, inner: height } } else { NodeCounts::default() };
        assert_eq!(world.store.taken(), taken);
    }
    world.publish();
    world.verify_all();
}

#[test]
fn many_queries_of_any_number_are_all_answered() {
    let world = World::bulk(&spread(500));
    let queries: Vec<Interval> = (0..100).map(|index| Interval::point(index * 613)).collect();
    for count in [0, 1, 2, 15, 16, 17, 31, 32, 33, 100] {
        world.model.verify_many(world.tree_ref(), &queries[..count]);
    }
    World::new().model.verify_many(World::new().tree_ref(), &queries);
}

#[test]
fn a_tree_that_grew_and_shrank_by_ends_is_sound() {
    let mut world = World::new();
    spread(300).into_iter().rev().for_each(|interval| world.insert(interval));
    world.publish();
    for turn in 0..150 {
        world.remove(world.model.items.len() - 1);
        world.remove(0);
        if turn % 3 == 0 {
            world.publish();
        }
    }
    world.publish();
    assert_eq!((world.tree.len(), world.tree.height(), world.store.live_count()), (0, 0, 0));
}
