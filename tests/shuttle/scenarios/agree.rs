//! Guard, reader and snapshot agree with one another, and all with the order of versions, while two tasks update, split
//! and join.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use notifier_index::{Interval, NotifierIndex, Ops, Reader, Registration, View};

use crate::near;
use crate::runner::Scenario;
use crate::support::{between, draw, pause, step};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "three_ways_agree",
    twins: &["stale_reader", "lost_update"],
    near_misses: &["lost races", "versions seen twice", "versions overtaken"],
    run,
};

/// Covered exactly once, always.
const WHOLE: (u64, u64) = (0, 15);

/// Of each reader.
const LOOKS: usize = 10;

type Content = Vec<(u64, u64, u64)>;

struct World {
    index: NotifierIndex,
    extents: Ops<u64>,
    /// Its notifiers move meanwhile.
    others: Ops<u64>,
    /// A version that somebody has seen, or has got from a change: nobody may begin now and see an older one.
    floor: AtomicU64,
    contents: Mutex<BTreeMap<u64, Content>>,
}

impl World {
    fn new() -> Self {
        let index = NotifierIndex::new();
        let (extents, others) = (index.register_passive_ops(), index.register_passive_ops());
        World { index, extents, others, floor: AtomicU64::new(0), contents: Mutex::default() }
    }

    /// Some look that began when `floor` was the floor saw this version.
    fn note(&self, floor: u64, version: u64) {
        assert!(version >= floor, "version {version} after {floor}");
        if version > floor {
            near::miss("versions overtaken");
        }
        self.floor.fetch_max(version, SeqCst);
    }

    fn changed(&self, version: u64) {
        self.floor.fetch_max(version, SeqCst);
    }

    fn examine(&self, floor: u64, view: View<'_>) {
        let content = |ops| {
            view.find_all(ops, Interval::FULL).map(|hit| {
                step();
                (hit.start(), hit.last(), *hit.payload())
            })
        };
        let mut all: Content = content(&self.extents).collect();
        assert_covered_once(&all);
        all.extend(content(&self.others));
        let mut contents = self.contents.lock().unwrap();
        let known = contents.entry(view.version()).or_insert_with(|| all.clone());
        assert_eq!(known, &all, "of version {}", view.version());
        drop(contents);
        near::miss_times("versions seen twice", u64::from(view.version() == floor));
        self.note(floor, view.version());
    }

    fn look(&self, reader: &mut Reader) {
        pause(64);
        let floor = self.floor.load(SeqCst);
        match draw(4) {
            0 => self.examine(floor, self.index.pin().view()),
            1 => self.examine(floor, reader.view()),
            2 => self.examine(floor, self.index.snapshot().view()),
            _ => self.note(floor, self.index.version()),
        }
    }

    /// Splits an extent and joins it again.
    fn split(&self, whole: &Registration<u64>, at: u64) {
        let mut batch = self.index.batch();
        batch.update(whole, between(WHOLE.0, at)).unwrap();
        let key = batch.insert(&self.extents, between(at + 1, WHOLE.1), at).unwrap();
        let mut committed = batch.commit().unwrap();
        let right = committed.take(key).unwrap();
        self.changed(committed.version());
        let mut batch = self.index.batch();
        batch.update(whole, between(WHOLE.0, WHOLE.1)).unwrap();
        batch.remove(&right).unwrap();
        self.changed(batch.commit().unwrap().version());
    }
}

fn assert_covered_once(extents: &Content) {
    let mut next = WHOLE.0;
    for (start, last, _) in extents {
        assert_eq!(*start, next, "a hole or a double cover in {extents:?}");
        next = last + 1;
    }
    assert_eq!(next, WHOLE.1 + 1, "a hole at the end of {extents:?}");
}

fn run() {
    let world = World::new();
    let whole = world.index.insert(&world.extents, between(WHOLE.0, WHOLE.1), 99).unwrap();
    world.changed(whole.version());
    shuttle::thread::scope(|scope| {
        scope.spawn(|| [3, 11].into_iter().for_each(|at| world.split(&whole, at)));
        scope.spawn(|| {
            let moving = world.index.insert(&world.others, between(4, 5), 1).unwrap();
            world.changed(moving.version());
            (0..2).for_each(|_| world.changed(moving.update(between(draw(4), 7)).unwrap()));
            world.changed(moving.remove().unwrap());
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reader = world.index.reader();
                (0..LOOKS).for_each(|_| world.look(&mut reader));
            });
        }
    });
    near::miss_times("lost races", world.index.stats().lost_races);
    assert_eq!(world.index.snapshot().view().check(), Ok(()));
}
