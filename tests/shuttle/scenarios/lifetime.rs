//! The index goes while handles of it live on: payloads are dropped once, by the last one who can reach them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use notifier_index::{Interval, NotifierIndex, Ops};

use crate::canary::Canary;
use crate::near;
use crate::runner::Scenario;
use crate::support::{between, step};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "handles_outlive_the_index",
    twins: &["uncounted_hold"],
    near_misses: &["index gone first", "snapshots without index"],
    run,
};

const COUNT: u64 = 4;

struct World {
    index: NotifierIndex,
    ops: Ops<Canary>,
}

/// Lets go; whether that was the end of the index.
fn is_last(world: Arc<World>) -> bool {
    Arc::into_inner(world).is_some()
}

fn run() {
    let drops = Arc::<AtomicUsize>::default();
    let index = NotifierIndex::new();
    let world = Arc::new(World { ops: index.register_passive_ops(), index });
    let insert = |at: u64| {
        let canary = Canary::counted(at, &drops);
        world.index.insert(&world.ops, between(at * 2, at * 2 + 1), canary).unwrap()
    };
    let mut registrations: Vec<_> = (0..COUNT).map(insert).collect();
    let (kept, removed) = (registrations.pop().unwrap(), registrations.pop().unwrap());
    let [for_holder, for_scanner, for_remover] = [(); 3].map(|()| Arc::clone(&world));
    shuttle::thread::scope(|scope| {
        scope.spawn(move || {
            let world = for_holder;
            let held = world.index.pin().find(&world.ops, Interval::point(0)).map(|hit| hit.hold());
            near::miss_times("index gone first", u64::from(is_last(world)));
            step();
            let held = held.expect("never removed");
            assert_eq!(held.payload().id(), 0);
        });
        scope.spawn(move || {
            let world = for_scanner;
            let ops = world.ops;
            let snapshot = world.index.snapshot();
            near::miss_times("snapshots without index", u64::from(is_last(world)));
            step();
            let seen: Vec<_> = snapshot.find_all(&ops, Interval::FULL).inspect(|_| step()).collect();
            // Two go meanwhile.
            assert!(seen.len() as u64 >= COUNT - 2);
            seen.iter().for_each(|hit| assert!(hit.payload().id() < COUNT));
        });
        scope.spawn(move || {
            let world = for_remover;
            let held = removed.hold();
            let removal = removed.remove_deferred().unwrap();
            world.index.maintain();
            drop(world);
            removal.wait().unwrap();
            drop(removal);
            step();
            assert!(!held.is_live());
            assert_eq!(held.payload().id(), 2);
        });
        scope.spawn(move || {
            kept.update(between(40, 41)).unwrap();
            drop(world);
            assert_eq!(kept.payload().id(), 3);
            step();
            // As its removal, of an index that may have gone.
            drop(kept);
        });
    });
    assert!(drops.load(SeqCst) as u64 <= COUNT, "a payload was dropped twice");
    drop(registrations);
    assert_eq!(drops.load(SeqCst) as u64, COUNT, "each payload is dropped once");
}
