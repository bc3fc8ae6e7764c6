//! Handles that change hands through the index: detached by one, claimed by another.

use super::interval;
use crate::runner::Model;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;
use notifier_index::NotifierIndex;
use std::sync::Arc;

/// Who claims sees what was done with the handle that was detached.
pub(crate) const CLAIM: Model = Model {
    name: "claim_sees_what_was_detached",
    twins: &[],
    preemptions: 3,
    hunting: 2,
    floor: 33,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<AtomicU64>();
        let registration = index.insert(&ops, interval(0, 9), AtomicU64::new(0)).unwrap();
        let snapshot = index.snapshot();
        let owner = thread::spawn(move || {
            registration.payload().store(1, Ordering::Relaxed);
            registration.detach();
        });
        let claimed = snapshot.find(&ops, 5).unwrap().claim();
        if let Some(registration) = &claimed {
            assert_eq!(registration.payload().load(Ordering::Relaxed), 1, "what was done before is not seen");
        }
        owner.join().unwrap();
        drop((claimed, snapshot));
    },
};

/// Of two who claim one gets it, and the other finds it removed or claimed.
pub(crate) const CLAIMS: Model = Model {
    name: "claim_against_claim",
    twins: &["claim_for_all"],
    preemptions: 2,
    hunting: 1,
    floor: 750,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u64>();
        index.insert(&ops, interval(0, 9), 7).unwrap().detach();
        let claims = Arc::new(AtomicUsize::new(0));
        let remove = move |index: &NotifierIndex, claims: &AtomicUsize| {
            let snapshot = index.snapshot();
            let Some(registration) = snapshot.find(&ops, 5).and_then(|hit| hit.claim()) else { return };
            claims.fetch_add(1, Ordering::Relaxed);
            assert_eq!(*registration.payload(), 7);
            drop(registration.remove_deferred().unwrap());
        };
        let (theirs, counted) = (Arc::clone(&index), Arc::clone(&claims));
        let other = thread::spawn(move || remove(&theirs, &counted));
        remove(&index, &claims);
        other.join().unwrap();
        assert_eq!((claims.load(Ordering::Relaxed), index.len()), (1, 0), "not exactly one has claimed it");
    },
};

/// A carve that splits what another thread moves: the right half is made for the bounds that are split, and neither change
/// is lost.
pub(crate) const CARVE: Model = Model {
    name: "carve_against_an_update",
    twins: &["stale_half", "lost_update"],
    preemptions: 4,
    hunting: 2,
    floor: 40_000,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u64>();
        let registration = index.insert(&ops, interval(0, 29), 0).unwrap();
        let theirs = Arc::clone(&index);
        let other = thread::spawn(move || theirs.carve(&ops, interval(10, 19), |whole| whole.last()).unwrap());
        registration.update(interval(0, 39)).unwrap();
        let carved = other.join().unwrap();
        let right = carved.right_halves.first().unwrap();
        assert_eq!(
            (right.interval().start(), right.interval().last()),
            (20, *right.payload()),
            "made for other bounds"
        );
        let left = registration.interval();
        assert!(left == interval(0, 9) || left == interval(0, 39), "an update was lost: {left}");
        assert_eq!(left == interval(0, 9), *right.payload() == 39, "not one after the other");
    },
};

/// Whoever removes what `clear` has just taken away finds it marked as removed when that returns.
pub(crate) const CLEAR: Model = Model {
    name: "removal_against_clear",
    twins: &["no_mark"],
    preemptions: 4,
    hunting: 3,
    floor: 15_000,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u64>();
        let registration = index.insert(&ops, interval(0, 9), 7).unwrap();
        let held = registration.hold();
        let theirs = Arc::clone(&index);
        let other = thread::spawn(move || theirs.clear(&ops).unwrap());
        registration.remove().unwrap();
        assert!(!held.is_live(), "removed, and waited for, but not marked: a callback may still begin");
        other.join().unwrap();
        drop(held);
    },
};
