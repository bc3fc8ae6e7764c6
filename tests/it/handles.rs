//! Handles: what a batch names stays as it is until the commit, a notifier without a handle is claimed by one, and a handle
//! whose notifier has gone is inert.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier_index::{BatchError, Config, Interval, NotifierIndex, Refused, RemoveError, UpdateError};

use crate::canary::Canary;
use crate::scope::scope;
use crate::turn::{alone, maintain_alone, together};
use crate::ways::{between, ids};

/// jemalloc#2815's kind: the half that was to go was lost with the refusal.
#[test]
fn a_refused_merge_keeps_both_halves() {
    let _turn = alone();
    let index = NotifierIndex::with_config(Config::new().retired_limit(1 << 20));
    let ops = index.register_passive_ops();
    let left = index.insert(&ops, between(0, 49), Canary::new(1)).unwrap();
    let right = index.insert(&ops, between(50, 99), Canary::new(2)).unwrap();
    let guard = index.pin();
    while left.update(between(0, 49)).is_ok() {}
    let mut batch = index.batch();
    batch.update(&left, between(0, 99)).unwrap();
    batch.remove(&right).unwrap();
    // As with `?` and a kind, or `.ok()`: the batch is dropped with the error.
    assert!(matches!(batch.commit().map_err(|refused| refused.reason).err(), Some(BatchError::RetiredLimit(_))));
    assert_eq!(ids(guard.view(), &ops, Interval::FULL), [1, 2]);
    assert!(left.is_live() && right.is_live());
    assert_eq!((left.interval(), right.interval()), (between(0, 49), between(50, 99)));
}

#[test]
fn a_batch_that_is_dropped_has_touched_nothing() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, between(0, 9), Canary::new(1)).unwrap();
    let mut batch = index.batch();
    batch.remove(&registration).unwrap();
    batch.update(&registration, between(5, 9)).unwrap();
    drop(batch);
    assert_eq!((index.version(), registration.interval()), (registration.version(), between(0, 9)));
}

#[test]
fn what_a_batch_has_removed_leaves_an_inert_handle() {
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let [one, two, three] = [1, 2, 3].map(|id| index.insert(&ops, id, Canary::counted(id, &drops)).unwrap());
    let mut batch = index.batch();
    [&one, &two, &three, &two].into_iter().for_each(|gone| batch.remove(gone).unwrap());
    let version = batch.commit().unwrap().version();
    assert!(!one.is_live() && index.is_empty());
    assert_eq!((one.update(7), one.interval(), one.payload().id()), (Err(UpdateError::Removed), Interval::point(1), 1));
    let held = one.hold();
    assert!(!held.is_live());
    drop(held);
    // Removing it again is no change, by whichever call.
    let removal = two.remove_deferred().unwrap();
    removal.wait().unwrap();
    assert_eq!((removal.version(), three.remove().unwrap(), index.version()), (version, version, version));
    drop(one);
    assert_eq!(index.version(), version);
    drop(removal);
    maintain_alone(&index);
    assert_eq!(drops.load(Ordering::Relaxed), 3, "each dropped, once");
}

#[test]
fn new_bounds_for_what_has_gone_refuse_the_batch() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let (gone, stays) =
        (index.insert(&ops, 1, Canary::new(1)).unwrap(), index.insert(&ops, 2, Canary::new(2)).unwrap());
    let mut batch = index.batch();
    batch.update(&stays, 9).unwrap();
    batch.remove(&gone).unwrap();
    batch.update(&gone, 5).unwrap();
    assert_eq!(batch.commit().unwrap_err().reason, BatchError::Removed);
    assert!(gone.is_live() && stays.interval() == Interval::point(2), "nothing was changed");
    let mut batch = index.batch();
    batch.remove(&gone).unwrap();
    let _ = batch.commit().unwrap();
    let mut batch = index.batch();
    batch.update(&gone, 5).unwrap();
    assert_eq!(batch.commit().unwrap_err().reason, BatchError::Removed);
}

#[test]
fn a_detached_notifier_is_claimed_by_exactly_one() {
    const THREADS: usize = 4;
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    for round in 0..500 {
        index.insert(&ops, round, Canary::new(round)).unwrap().detach();
        let claims = AtomicUsize::new(0);
        scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let guard = index.pin();
                    let Some(hit) = guard.find(&ops, round) else { return };
                    if let Some(registration) = hit.claim() {
                        claims.fetch_add(1, Ordering::Relaxed);
                        registration.detach();
                    }
                });
            }
        });
        // Whoever claimed it has let go of it again, so there may have been several, one after the other.
        assert!(claims.load(Ordering::Relaxed) > 0);
        let guard = index.pin();
        let hit = guard.find(&ops, round).expect("still registered");
        let last = hit.claim().expect("nobody has it");
        assert!(hit.claim().is_none(), "two have it");
        last.remove().unwrap();
        assert!(hit.claim().is_none(), "it is no longer registered");
    }
}

#[test]
fn what_was_claimed_does_all_that_a_registration_does() {
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    index.insert(&ops, between(0, 9), Canary::counted(1, &drops)).unwrap().detach();
    let claimed = index.pin().find(&ops, 5).unwrap().claim().unwrap();
    assert_eq!((claimed.interval(), claimed.version()), (between(0, 9), 1));
    claimed.update(between(20, 29)).unwrap();
    let held = claimed.hold();
    assert!(
        matches!(claimed.remove_if_unheld(), Err(Refused { reason: RemoveError::Held, .. })),
        "and dropping the refusal removes it"
    );
    assert!(index.is_empty() && !held.is_live());
    drop(held);
    maintain_alone(&index);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_never_claimed_goes_with_the_index() {
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    (0..100).for_each(|id| index.insert(&ops, id, Canary::counted(id, &drops)).unwrap().detach());
    let claimed = index.pin().find(&ops, 50).unwrap().claim().unwrap();
    drop(index);
    assert_eq!(drops.load(Ordering::Relaxed), 0, "a handle keeps it");
    drop(claimed);
    assert_eq!(drops.load(Ordering::Relaxed), 100);
}

#[test]
fn only_what_nobody_holds_is_evicted() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, 7, Canary::new(7)).unwrap();
    let (one, other) = (registration.hold(), index.pin().find(&ops, 7).unwrap().hold());
    let version = index.version();
    let registration = registration.remove_if_unheld().unwrap_err().value;
    drop(one);
    let registration = registration.remove_if_unheld().unwrap_err().value;
    assert_eq!((index.version(), registration.is_live()), (version, true));
    drop(other);
    assert_eq!(registration.remove_if_unheld().unwrap().version(), version + 1);
    assert!(index.is_empty());
    // What another call has removed is gone, whoever holds it.
    let registration = index.insert(&ops, 8, Canary::new(8)).unwrap();
    let _held = registration.hold();
    assert_eq!(index.clear(&ops), Ok(1));
    assert!(registration.remove_if_unheld().is_ok());
}

#[test]
fn clearing_removes_one_owners_and_leaves_inert_handles() {
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let (ours, theirs) = (index.register_passive_ops(), index.register_passive_ops());
    assert_eq!((index.clear(&ours), index.version()), (Ok(0), 0), "nothing to clear is no version");
    let mine: Vec<_> = (0..500).map(|id| index.insert(&ours, id % 90, Canary::counted(id, &drops)).unwrap()).collect();
    index.insert(&ours, Interval::FULL, Canary::counted(500, &drops)).unwrap().detach();
    let yours = index.insert(&theirs, 7, Canary::new(7)).unwrap();
    let (snapshot, version) = (index.snapshot(), index.version());
    assert_eq!((index.clear(&ours), index.version()), (Ok(501), version + 1));
    assert_eq!((index.len(), index.pin().view().check()), (1, Ok(())));
    assert!(yours.is_live() && mine.iter().all(|gone| !gone.is_live()));
    assert_eq!(snapshot.find_all(&ours, Interval::FULL).count(), 501, "an older version stays as it was");
    assert!(snapshot.find_all(&ours, Interval::FULL).all(|hit| !hit.is_live() && hit.claim().is_none()));
    drop((mine, snapshot));
    maintain_alone(&index);
    assert_eq!(drops.load(Ordering::Relaxed), 501);
    assert_eq!(NotifierIndex::new().clear(&ours), Err(BatchError::ForeignOps));
}

#[test]
fn many_go_as_one_version_or_all_come_back() {
    let _turn = together();
    let (index, other) = (NotifierIndex::new(), NotifierIndex::new());
    let (ops, others) = (index.register_passive_ops(), other.register_passive_ops());
    let mut all: Vec<_> = (0..50).map(|id| index.insert(&ops, id, Canary::new(id)).unwrap()).collect();
    let version = index.version();
    all.push(other.insert(&others, 1, Canary::new(99)).unwrap());
    let refused = index.remove_many(all).unwrap_err();
    assert_eq!((refused.reason, index.version(), index.len()), (RemoveError::ForeignRegistration, version, 50));
    let mut all: Vec<_> = refused.value.collect();
    assert_eq!(all.pop().unwrap().payload().id(), 99);
    assert_eq!(index.remove_many(all).unwrap(), version + 1);
    assert!(index.is_empty());
    assert_eq!(index.remove_many(Vec::<notifier_index::Registration<Canary>>::new()).unwrap(), version + 1);
}
