//! Public bugs of other systems, held as rules under the names that the contract gives them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier_index::{Config, InsertError, Interval, NotifierIndex};

use crate::canary::Canary;
use crate::turn::{alone, maintain_alone, together, until_no_thread_pins};
use crate::ways::{Eyes, between, ids};

/// Interval notifiers, v6: a find returned entries that waited for their removal, and missed inserts that waited.
#[test]
fn find_sees_no_pending_remove() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    // Everything that could make removal a matter for later: a pin, an owned version, a hold, a cached version.
    let (guard, mut reader) = (index.pin(), index.reader());
    for id in 0..100 {
        let registration = index.insert(&ops, between(10, 20), Canary::new(id)).unwrap();
        let snapshot = index.snapshot();
        let held = guard.find(&ops, Interval::point(15)).expect("inserted").hold();
        let removal = registration.remove_deferred().unwrap();
        assert!(guard.find(&ops, Interval::point(15)).is_none(), "found what was removed");
        assert!(reader.find(&ops, Interval::point(15)).is_none(), "found what was removed");
        assert_eq!(index.snapshot().view().version(), removal.version());
        assert!(!held.is_live() && !snapshot.find(&ops, Interval::FULL).unwrap().is_live());
        let next = index.insert(&ops, between(10, 20), Canary::new(1000 + id)).unwrap();
        assert_eq!(guard.find(&ops, Interval::point(15)).expect("not pending").payload().id(), 1000 + id);
        next.remove().unwrap();
    }
}

/// CVE-2024-26656: removing what a failed insert had left freed live memory.
#[test]
fn failed_insert_leaves_nothing() {
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let before = index.insert(&ops, between(0, 9), Canary::counted(0, &drops)).unwrap();
    index.close().unwrap();
    let (version, stats) = (index.version(), index.stats());
    for id in 1..50 {
        let refused = index.insert(&ops, between(0, 9), Canary::counted(id, &drops)).unwrap_err();
        assert!(refused.reason == InsertError::Closed);
        let payload = refused.value;
        assert_eq!((payload.id(), drops.load(Ordering::Relaxed)), (id, id as usize - 1));
    }
    assert_eq!((index.version(), index.stats().live_nodes, index.len()), (version, stats.live_nodes, 1));
    Eyes::new(&index).look_each(|_, view| {
        assert_eq!((ids(view, &ops, Interval::FULL), view.check()), (vec![0], Ok(())));
    });
    before.remove().unwrap();
    maintain_alone(&index);
    assert_eq!((drops.load(Ordering::Relaxed), index.stats().retired_objects), (50, 0));
}

/// An RDMA driver erased whatever stood at the index of what it wanted to erase.
#[test]
fn remove_is_by_identity() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let same = between(0x1000, 0x1fff);
    let old = index.insert(&ops, same, Canary::new(1)).unwrap();
    let new = index.insert(&ops, same, Canary::new(2)).unwrap();
    let third = index.insert(&ops, same, Canary::new(3)).unwrap();
    old.update(between(0x9000, 0x9fff)).unwrap();
    third.update(same).unwrap();
    new.remove().unwrap();
    assert_eq!(ids(index.pin().view(), &ops, Interval::FULL), [3, 1]);
    old.update(same).unwrap();
    third.remove().unwrap();
    assert_eq!(ids(index.pin().view(), &ops, same), [1]);
    assert_eq!((old.payload().id(), old.interval()), (1, same));
    old.remove().unwrap();
    assert!(index.is_empty());
}

/// vllm#24264, ucx#11248: what waited for its end grew without bound.
#[test]
fn retired_memory_is_bounded() {
    let _turn = alone();
    const LIMIT: u64 = 1 << 20;
    let index = NotifierIndex::with_config(Config::new().retired_limit(LIMIT));
    let ops = index.register_passive_ops();
    let registrations: Vec<_> =
        (0..500).map(|id| index.insert(&ops, Interval::point(id), Canary::new(id)).unwrap()).collect();
    let guard = index.pin();
    let (mut refused, mut most) = (0, 0);
    for step in 0..5_000 {
        let registration = &registrations[step % 500];
        refused += usize::from(registration.update(Interval::point(step as u64)).is_err());
        most = most.max(index.stats().retired_bytes);
    }
    assert!(refused > 0 && most <= LIMIT + (64 << 10), "{refused} refused, at most {most} bytes");
    drop(guard);
    until_no_thread_pins();
    for step in 0..5_000 {
        registrations[step % 500].update(Interval::point(step as u64)).unwrap();
        assert!(index.stats().retired_bytes <= LIMIT + (64 << 10));
    }
}

/// wasmtime#12511: a new mapping at an address whose old one was not yet unregistered aborted the process.
#[test]
fn address_reuse_is_not_a_conflict() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let place = between(0x7000, 0x7fff);
    let stale = index.insert(&ops, place, Canary::new(1)).unwrap();
    let fresh = index.insert(&ops, place, Canary::new(2)).unwrap();
    assert_eq!(ids(index.pin().view(), &ops, place), [1, 2]);
    let _ = stale.remove_deferred().unwrap();
    assert_eq!(ids(index.pin().view(), &ops, place), [2]);
    // Also while somebody still looks at the old one.
    let snapshot = index.snapshot();
    fresh.remove().unwrap();
    let third = index.insert(&ops, place, Canary::new(3)).unwrap();
    assert_eq!((ids(snapshot.view(), &ops, place), ids(index.pin().view(), &ops, place)), (vec![2], vec![3]));
    assert_eq!(third.payload().id(), 3);
}

/// Open MPI's interval tree misses [0, 100] beside [10, 20] when it is asked for 30.
#[test]
fn enclosing_interval_is_found() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let _enclosing = index.insert(&ops, between(0, 100), Canary::new(1)).unwrap();
    let mut inner = vec![index.insert(&ops, between(10, 20), Canary::new(2)).unwrap()];
    assert_eq!(ids(index.pin().view(), &ops, Interval::point(30)), [1]);
    for id in 3..600 {
        inner.push(index.insert(&ops, between(id, id + 1), Canary::new(id)).unwrap());
    }
    let _over_all = index.insert(&ops, Interval::FULL, Canary::new(9999)).unwrap();
    Eyes::new(&index).look_each(|_, view| {
        for at in [0, 30, 100] {
            let first = view.find(&ops, Interval::point(at)).unwrap();
            assert_eq!(first.payload().id(), 1);
        }
        assert_eq!(view.find(&ops, Interval::point(5_000)).unwrap().payload().id(), 9999);
        assert_eq!(ids(view, &ops, Interval::point(30)), [1, 9999, 29, 30]);
    });
}
