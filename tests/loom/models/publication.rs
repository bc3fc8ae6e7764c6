//! What becomes visible, when, and to whom.

use super::interval;
use crate::runner::Model;
use loom::thread;
use notifier_index::{Interval, NotifierIndex};
use std::sync::Arc;

/// A finder sees an insertion wholly or not at all.
pub(crate) const VISIBLE: Model = Model {
    name: "publication_is_visible",
    twins: &[],
    preemptions: Some(3),
    floor: 10,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_ops::<u32>();
        let writer = Arc::clone(&index);
        let inserter = thread::spawn(move || writer.insert(&ops, interval(10, 19), 7).unwrap());
        {
            let guard = index.pin();
            if let Some(hit) = guard.find(&ops, Interval::point(15)).unwrap() {
                assert_eq!(*hit.payload(), 7);
            }
        }
        let registration = inserter.join().unwrap();
        let guard = index.pin();
        assert!(guard.find(&ops, Interval::point(15)).unwrap().is_some());
        drop(guard);
        drop(registration);
    },
};
