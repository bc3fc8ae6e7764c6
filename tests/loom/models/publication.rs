//! What becomes visible, when, and to whom.

use super::interval;
use crate::runner::Model;
use loom::thread;
use notifier_index::{InsertError, Interval, Invalidating, Notifier, NotifierIndex, Reason, Refused, WouldBlock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A finder sees an insertion wholly or not at all.
pub(crate) const VISIBLE: Model = Model {
    name: "publication_is_visible",
    twins: &["relaxed_publish"],
    preemptions: 3,
    hunting: 2,
    floor: 29_000,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let writer = Arc::clone(&index);
        let inserter = thread::spawn(move || {
            let registration = writer.insert(&ops, interval(10, 19), 7).unwrap();
            assert!(writer.pin().find(&ops, Interval::point(15)).is_some());
            registration
        });
        {
            let guard = index.pin();
            if let Some(hit) = guard.find(&ops, Interval::point(15)) {
                assert_eq!(*hit.payload(), 7);
            }
        }
        drop(inserter.join().unwrap());
    },
};

/// Both insertions of two writers stand.
pub(crate) const NOTHING_LOST: Model = Model {
    name: "two_writers_lose_nothing",
    twins: &["lost_update"],
    preemptions: 2,
    hunting: 2,
    floor: 1_700,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let writer = Arc::clone(&index);
        let other = thread::spawn(move || writer.insert(&ops, interval(30, 39), 2).unwrap());
        let one = index.insert(&ops, interval(10, 19), 1).unwrap();
        let two = other.join().unwrap();
        assert_eq!(index.len(), 2);
        assert_ne!(one.version(), two.version());
        let guard = index.pin();
        assert_eq!(*guard.find(&ops, Interval::point(10)).expect("inserted").payload(), 1);
        assert_eq!(*guard.find(&ops, Interval::point(30)).expect("inserted").payload(), 2);
    },
};

/// Whatever one way of reading has seen, the others see at once.
pub(crate) const AGREE: Model = Model {
    name: "three_ways_agree",
    twins: &["stale_reader"],
    preemptions: 2,
    hunting: 1,
    floor: 10_000,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let writer = Arc::clone(&index);
        let inserter = thread::spawn(move || {
            let registration = writer.insert(&ops, interval(10, 19), 7).unwrap();
            assert_eq!(writer.pin().view().version(), registration.version());
            registration
        });
        let mut reader = index.reader();
        let guard = index.pin();
        let by_snapshot = index.snapshot();
        let by_guard = guard.view().version();
        let by_reader = reader.view().version();
        assert!(by_snapshot.view().version() <= by_guard, "the guard is behind the snapshot");
        assert!(by_guard <= by_reader, "the reader is behind the guard");
        assert!(by_reader <= index.version(), "the index is behind the reader");
        let found = guard.find(&ops, Interval::point(15)).is_some();
        assert!(found || by_reader == 0, "the guard does not find what the reader's version has");
        drop(guard);
        drop(by_snapshot);
        drop(inserter.join().unwrap());
    },
};

/// What is no longer registered is no longer found, also by one who was pinned before.
pub(crate) const DEAD: Model = Model {
    name: "dead_is_not_found",
    twins: &["loose_dead"],
    preemptions: 3,
    hunting: 2,
    floor: 50,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let registration = index.insert(&ops, interval(10, 19), 7).unwrap();
        let held = registration.hold();
        let finder = Arc::clone(&index);
        let finding = thread::spawn(move || {
            let guard = finder.pin();
            assert!(held.is_live() || guard.find(&ops, Interval::point(15)).is_none(), "dead, and found");
        });
        drop(registration);
        finding.join().unwrap();
    },
};

/// Counts what it is told.
#[derive(Debug)]
struct Told(Arc<AtomicU32>);

impl Notifier for Told {
    fn invalidate(&self, invalidating: &Invalidating<'_>) -> Result<(), WouldBlock> {
        assert_eq!(invalidating.reason(), Reason::Release);
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// An insertion is refused, or its notifier is told that the index closes.
pub(crate) const CLOSE: Model = Model {
    name: "close_tells_all",
    twins: &["closed_insert"],
    preemptions: 3,
    hunting: 3,
    floor: 1_100,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_ops::<Told>();
        let told = Arc::new(AtomicU32::new(0));
        let (writer, counter) = (Arc::clone(&index), Arc::clone(&told));
        let inserter = thread::spawn(move || writer.insert(&ops, interval(10, 19), Told(counter)));
        index.close().unwrap();
        match inserter.join().unwrap() {
            Ok(_registration) => assert_eq!(told.load(Ordering::Relaxed), 1, "registered, and not told"),
            Err(Refused { reason: InsertError::Closed, .. }) => assert_eq!(told.load(Ordering::Relaxed), 0),
            Err(other) => panic!("{other}"),
        }
    },
};
