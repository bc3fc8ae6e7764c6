//! When memory goes, and whom it waits for.

use super::interval;
use crate::runner::Model;
use loom::thread;
use notifier_index::{Interval, NotifierIndex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts its drops.
#[derive(Debug)]
struct Payload(Arc<AtomicU32>);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a pinned finder has found is not reused.
pub(crate) const PIN: Model = Model {
    name: "reuse_waits_for_a_pin",
    twins: &["early_free"],
    preemptions: 2,
    hunting: 1,
    floor: 72_000,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let registration = index.insert(&ops, interval(10, 19), 7).unwrap();
        let finder = Arc::clone(&index);
        let finding = thread::spawn(move || {
            let guard = finder.pin();
            let view = guard.view();
            let hit = view.find(&ops, Interval::point(15));
            let again = view.find(&ops, Interval::point(15));
            assert_eq!(hit.map(|hit| *hit.payload()), again.map(|hit| *hit.payload()));
        });
        registration.remove().unwrap();
        index.maintain();
        finding.join().unwrap();
    },
};

/// What an owned version reaches is not reused.
pub(crate) const SNAPSHOT: Model = Model {
    name: "reuse_waits_for_a_snapshot",
    twins: &["early_free", "late_mark", "blind_scan"],
    preemptions: 3,
    hunting: 2,
    floor: 8_600,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let registration = index.insert(&ops, interval(10, 19), 7).unwrap();
        let finder = Arc::clone(&index);
        let finding = thread::spawn(move || {
            let snapshot = finder.snapshot();
            let view = snapshot.view();
            let hit = view.find(&ops, Interval::point(15));
            let again = view.find(&ops, Interval::point(15));
            assert_eq!(hit.map(|hit| *hit.payload()), again.map(|hit| *hit.payload()));
        });
        registration.remove().unwrap();
        index.maintain();
        finding.join().unwrap();
    },
};

/// What several own is not reused before the last of them has let go, whoever that is.
pub(crate) const OWNERS: Model = Model {
    name: "reuse_waits_for_all_owners",
    twins: &["early_free", "early_death", "blind_scan"],
    preemptions: 3,
    hunting: 3,
    floor: 44,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let registration = index.insert(&ops, interval(10, 19), 7).unwrap();
        let (mine, theirs) = (index.snapshot(), index.snapshot());
        registration.remove().unwrap();
        index.maintain();
        let finding = thread::spawn(move || {
            assert!(theirs.find(&ops, Interval::point(15)).is_some());
            drop(theirs);
        });
        assert!(mine.find(&ops, Interval::point(15)).is_some());
        drop(mine);
        index.maintain();
        finding.join().unwrap();
    },
};

/// A grace period that one thread has seen pass sets free what another thread frees.
pub(crate) const GRACE: Model = Model {
    name: "grace_is_passed_on",
    twins: &["early_free"],
    preemptions: 1,
    hunting: 1,
    floor: 850,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let filling = index.insert(&ops, interval(30, 39), 1).unwrap();
        let registration = index.insert(&ops, interval(10, 19), 7).unwrap();
        let guard = index.pin();
        let view = guard.view();
        registration.remove().unwrap();
        // Asks for a grace period, which this thread's pin holds up.
        index.maintain();
        // The fourth publication: it frees what it can.
        let writer = Arc::clone(&index);
        let freeing = thread::spawn(move || writer.insert(&ops, interval(50, 59), 2).unwrap());
        thread::yield_now();
        assert!(view.find(&ops, Interval::point(15)).is_some());
        drop(guard);
        // The first pin of a thread looks whether the grace period has passed.
        let looker = Arc::clone(&index);
        thread::spawn(move || drop(looker.pin())).join().unwrap();
        drop((filling, freeing.join().unwrap()));
    },
};

/// Two writers at one workbench: what one of them puts on a shelf, the other takes whole.
pub(crate) const SLOTS: Model = Model {
    name: "slots_change_hands",
    twins: &["early_free"],
    preemptions: 2,
    hunting: 2,
    floor: 3_300,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let writer = Arc::clone(&index);
        let other = thread::spawn(move || writer.insert(&ops, interval(30, 39), 2).unwrap());
        let one = index.insert(&ops, interval(10, 19), 1).unwrap();
        let two = index.insert(&ops, interval(20, 29), 1).unwrap();
        drop((one, two, other.join().unwrap()));
    },
};

/// Giving memory back beside a writer that takes some.
pub(crate) const SLABS: Model = Model {
    name: "slabs_are_listed_whole",
    twins: &["slabs_first"],
    preemptions: 1,
    hunting: 1,
    floor: 100,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let writer = Arc::clone(&index);
        let other = thread::spawn(move || writer.insert(&ops, interval(30, 39), 2).unwrap());
        index.maintain();
        drop(other.join().unwrap());
    },
};

/// Handles of all kinds keep what they need when the index is dropped, and the payload is dropped once.
pub(crate) const HANDLES: Model = Model {
    name: "handles_outlive_the_index",
    twins: &["uncounted_hold"],
    preemptions: 5,
    hunting: 4,
    floor: 5_000,
    run: || {
        let drops = Arc::new(AtomicU32::new(0));
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops::<Payload>();
        let registration = index.insert(&ops, interval(10, 19), Payload(Arc::clone(&drops))).unwrap();
        let held = registration.hold();
        let snapshot = index.snapshot();
        let counter = Arc::clone(&drops);
        let user = thread::spawn(move || {
            assert!(snapshot.find(&ops, Interval::point(15)).is_some());
            drop(snapshot);
            let _payload: &Payload = held.payload();
            assert_eq!(counter.load(Ordering::Relaxed), 0);
        });
        drop(registration);
        index.maintain();
        drop(index);
        user.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1, "the payload is dropped once, by the last handle");
    },
};
