//! Finders hold hits while what they look at is replaced, retired and, once nobody can see it, freed.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use notifier_index::{Interval, NotifierIndex, Ops, Registration, View};

use crate::canary::Canary;
use crate::near;
use crate::runner::Scenario;
use crate::support::{between, draw, pause, step};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "hits_are_held",
    twins: &["early_free"],
    near_misses: &["hits of removed", "views overtaken", "drops while others look"],
    run,
};

/// More than one node of them.
const STANDING: u64 = 6;

struct World {
    index: NotifierIndex,
    ops: Ops<Canary>,
    standing: Mutex<Vec<Registration<Canary>>>,
    moved: Mutex<Vec<Registration<Canary>>>,
    made: AtomicUsize,
    drops: Arc<AtomicUsize>,
}

impl World {
    fn canary(&self) -> Canary {
        Canary::counted(self.made.fetch_add(1, SeqCst) as u64, &self.drops)
    }

    /// Looks at everything in a view, lazily and twice, and keeps the hits of the first time.
    fn examine(&self, view: View<'_>) {
        let held: Vec<_> = view.find_all(&self.ops, Interval::FULL).inspect(|_| step()).collect();
        let first: Vec<_> = held.iter().map(|hit| (hit.interval(), hit.payload().id())).collect();
        pause(128);
        assert_eq!(view.check(), Ok(()));
        let again = view.find_all(&self.ops, Interval::FULL);
        let second: Vec<_> = again.inspect(|_| step()).map(|hit| (hit.interval(), hit.payload().id())).collect();
        assert_eq!(first, second, "of version {}", view.version());
        for (hit, (interval, id)) in held.iter().zip(first) {
            near::miss_times("hits of removed", u64::from(!hit.is_live()));
            assert_eq!((hit.interval(), hit.payload().id()), (interval, id));
        }
        near::miss_times("views overtaken", u64::from(self.index.version() > view.version()));
    }

    /// Takes away one that stands, and puts another one there, which moves.
    fn replace(&self) {
        let standing = self.standing.lock().unwrap().pop().expect("enough for all");
        standing.remove().unwrap();
        let at = draw(STANDING * 10);
        let registration = self.index.insert(&self.ops, between(at, at + 9), self.canary()).unwrap();
        registration.update(between(at + 5, at + 6)).unwrap();
        self.moved.lock().unwrap().push(registration);
    }
}

fn run() {
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let world = World {
        index,
        ops,
        standing: Mutex::default(),
        moved: Mutex::default(),
        made: AtomicUsize::new(0),
        drops: Arc::default(),
    };
    let insert = |at: u64| world.index.insert(&world.ops, between(at * 10, at * 10 + 4), world.canary()).unwrap();
    *world.standing.lock().unwrap() = (0..STANDING).map(insert).collect();
    shuttle::thread::scope(|scope| {
        scope.spawn(|| {
            let mut guard = world.index.pin();
            for _ in 0..4 {
                world.examine(guard.view());
                guard.repin();
            }
        });
        scope.spawn(|| {
            let mut reader = world.index.reader();
            world.examine(reader.view());
            let held = reader.find(&world.ops, Interval::FULL).map(|hit| (hit.hold(), hit.payload().id()));
            drop(reader);
            let snapshot = world.index.snapshot();
            (0..2).for_each(|_| world.examine(snapshot.view()));
            if let Some((held, id)) = held {
                assert_eq!(held.payload().id(), id);
            }
        });
        scope.spawn(|| (0..2).for_each(|_| world.replace()));
        scope.spawn(|| {
            world.replace();
            world.index.maintain();
            near::miss_times("drops while others look", world.drops.load(SeqCst) as u64);
        });
    });
    let World { index, standing, moved, made, drops, .. } = world;
    for registration in standing.into_inner().unwrap().into_iter().chain(moved.into_inner().unwrap()) {
        registration.remove().unwrap();
    }
    index.barrier().unwrap();
    drop(index);
    assert_eq!(drops.load(SeqCst), made.load(SeqCst), "each payload is dropped once");
}
