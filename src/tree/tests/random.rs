//! Random edits against the model, `check` after each of them.
//!
//! `PROPTEST_CASES` sets the number of cases.

use super::world::World;
use crate::interval::Interval;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Nothing,
    Insert(Interval),
    /// The position is taken modulo the number of items.
    Remove(usize),
    Update(usize, Interval),
    /// Moves both ends a little, as a program that grows and shrinks a mapping does.
    Nudge(usize, i8, i8),
    Query(Interval),
    Publish,
    Abort,
    Miss(u64, u64),
}

/// Addresses that meet: a few low ones, a few high ones, seldom any other.
fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..12u64,
        2 => (u64::MAX - 3)..=u64::MAX,
        4 => (0..64u64).prop_map(|page| page << 12),
        1 => any::<u64>(),
    ]
}

fn interval() -> impl Strategy<Value = Interval> {
    prop_oneof![
        8 => (address(), address()).prop_map(|(a, b)| Interval::from_ordered(a.min(b), a.max(b))),
        4 => address().prop_map(Interval::point),
        8 => (0..2000u64).prop_map(|page| Interval::from_ordered(page << 12, (page << 12) + 0xfff)),
        1 => Just(Interval::FULL),
        1 => Just(Interval::point(0)),
        1 => Just(Interval::point(u64::MAX)),
        1 => Just(Interval::from_ordered(7, 9)),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        1 => Just(Operation::Nothing),
        10 => interval().prop_map(Operation::Insert),
        9 => any::<usize>().prop_map(Operation::Remove),
        6 => (any::<usize>(), interval()).prop_map(|(at, to)| Operation::Update(at, to)),
        4 => (any::<usize>(), -3..=3i8, -3..=3i8).prop_map(|(at, a, b)| Operation::Nudge(at, a, b)),
        2 => interval().prop_map(Operation::Query),
        4 => Just(Operation::Publish),
        1 => Just(Operation::Abort),
        1 => (address(), any::<u64>()).prop_map(|(start, serial)| Operation::Miss(start, serial)),
    ]
}

impl Operation {
    fn apply(self, world: &mut World) {
        let count = world.model.items.len();
        match self {
            Operation::Insert(interval) => world.insert(interval),
            Operation::Remove(at) if count > 0 => world.remove(at % count),
            Operation::Update(at, to) if count > 0 => world.update(at % count, to),
            Operation::Nudge(at, a, b) if count > 0 => {
                let old = world.model.items[at % count].interval;
                let start = old.start().saturating_add_signed(a.into());
                let last = old.last().saturating_add_signed(b.into()).max(start);
                world.update(at % count, Interval::from_ordered(start, last));
            }
            Operation::Query(query) => world.model.verify(world.tree_ref(), query),
            Operation::Publish => world.publish(),
            Operation::Abort => world.abort(),
            Operation::Miss(start, serial) => world.miss(start, serial | 1 << 63),
            _ => {}
        }
    }
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn edits_agree_with_the_model_and_keep_every_invariant(
        start in prop::collection::vec(interval(), 0..300),
        built_at_once in any::<bool>(),
        operations in prop::collection::vec(operation(), 200),
    ) {
        let mut world = if built_at_once { World::bulk(&start) } else { World::of(start) };
        world.verify_all();
        for (step, operation) in operations.into_iter().enumerate() {
            operation.apply(&mut world);
            if step % 50 == 49 {
                world.verify_all();
            }
        }
        world.publish();
        world.verify_all();
        while !world.model.items.is_empty() {
            world.remove(world.model.items.len() / 2);
        }
        world.publish();
        assert_eq!(world.store.live_count(), 0);
        world.verify_all();
    }
}
