//! What is retired is bounded by what somebody can still look at, and goes when nobody can.

use notifier_index::{Config, Interval, NotifierIndex, Ops, Registration, Stats};

use crate::canary::Canary;
use crate::mailbox::{Mailbox, PATIENCE};
use crate::scope::scope;
use crate::turn::{alone, maintain_alone};

/// Enough that what one grace period leaves behind is small beside the tree.
const NOTIFIERS: u64 = 60_000;
const UPDATES: u64 = if cfg!(debug_assertions) { 60_000 } else { 1_000_000 };

fn filled(index: &NotifierIndex, ops: &Ops<Canary>, count: u64) -> Vec<Registration<Canary>> {
    index.insert_many(ops, (0..count).map(|id| (Interval::point(id * 16), Canary::new(id)))).unwrap()
}

/// Moves notifiers all over the tree; the most that was retired, as seen every now and then.
fn update_all_over(index: &NotifierIndex, all: &[Registration<Canary>], maintain: bool) -> u64 {
    let mut most = 0;
    for step in 0..UPDATES {
        let at = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let id = at % all.len() as u64;
        all[id as usize].update(Interval::point(id * 16 + step % 16)).unwrap();
        if step % 64 == 0 {
            most = most.max(index.stats().retired_bytes);
        }
        if maintain && step % 4096 == 0 {
            index.maintain();
        }
    }
    most
}

/// With something idle that owns a version: at most the tree that it looks at stays behind.
fn assert_bounded_beside<T>(idle: impl FnOnce(&NotifierIndex) -> T, maintain: bool) {
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, NOTIFIERS);
    maintain_alone(&index);
    let before: Stats = index.stats();
    let idle = idle(&index);
    let most = update_all_over(&index, &all, maintain);
    println!("{most} bytes retired at most beside a tree of {} bytes", before.node_bytes);
    assert!(most as f64 <= 1.2 * before.node_bytes as f64, "{most} of {}", before.node_bytes);
    // So many updates touch nearly all of the tree: had the idle one not held it back, this test would show nothing.
    assert!(index.stats().retired_bytes as f64 > 0.5 * before.node_bytes as f64);
    assert!(index.stats().owned_versions == 1 && index.stats().oldest_version == before.version);
    drop(idle);
    maintain_alone(&index);
    assert_eq!((index.stats().retired_objects, index.stats().retired_bytes), (0, 0));
    assert_eq!(index.stats().owned_versions, 0);
}

#[test]
fn an_idle_reader_holds_back_its_tree_and_nothing_newer() {
    let _turn = alone();
    assert_bounded_beside(NotifierIndex::reader, false);
}

#[test]
fn an_idle_snapshot_holds_back_its_tree_and_nothing_newer() {
    let _turn = alone();
    assert_bounded_beside(NotifierIndex::snapshot, false);
}

#[test]
fn an_idle_reader_holds_back_no_more_with_maintenance() {
    let _turn = alone();
    assert_bounded_beside(NotifierIndex::reader, true);
}

#[test]
fn an_idle_clone_holds_back_no_more_than_its_original() {
    let _turn = alone();
    let twice = |index: &NotifierIndex| {
        let snapshot = index.snapshot();
        (snapshot.clone(), index.reader(), snapshot)
    };
    assert_bounded_beside(twice, true);
}

#[test]
fn nothing_stays_retired_where_nobody_looks() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, NOTIFIERS);
    let most = update_all_over(&index, &all, false);
    assert!(most < 1 << 20, "{most} bytes retired with no reader at all");
    let before = index.stats();
    drop(all);
    maintain_alone(&index);
    let after = index.stats();
    assert_eq!((after.retired_objects, after.retired_bytes, after.live_nodes, after.node_bytes), (0, 0, 0, 0));
    // A slab is twice the one before, and the last version may stand in any of them.
    assert!(after.pool_bytes * 2 < before.pool_bytes, "{} of {} bytes kept", after.pool_bytes, before.pool_bytes);
}

/// Ten readers at ten versions, let go from the middle outwards.
#[test]
fn owned_versions_go_in_any_order() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, 2_000);
    let mut owned = Vec::new();
    for round in 0..10_u64 {
        owned.push((index.snapshot(), round));
        for registration in &all {
            registration.update(Interval::point(registration.payload().id() * 16 + round + 1)).unwrap();
        }
    }
    maintain_alone(&index);
    assert_eq!(index.stats().owned_versions, 10);
    for at in [5, 4, 6, 0, 5, 1, 3, 1, 0, 0] {
        let before = index.stats().retired_bytes;
        let (snapshot, round) = owned.remove(at);
        assert!(snapshot.view().iter().all(|hit| hit.start() % 16 == round));
        assert_eq!(snapshot.view().check(), Ok(()));
        drop(snapshot);
        maintain_alone(&index);
        assert!(index.stats().retired_bytes < before, "nothing was freed with version {round}: {:?}", index.stats());
        assert_eq!(index.stats().owned_versions, owned.len() as u64);
        assert_eq!(
            index.stats().oldest_version,
            owned.first().map_or(index.version(), |(oldest, _)| oldest.view().version())
        );
    }
    assert_eq!(index.stats().retired_objects, 0);
}

/// A version costs memory too, also where it replaces no node.
#[test]
fn publications_that_replace_nothing_are_bounded_too() {
    const LIMIT: u64 = 1 << 20;
    let _turn = alone();
    let index = NotifierIndex::with_config(Config::new().retired_limit(LIMIT));
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, 200);
    let guard = index.pin();
    let refused = (0..100_000).any(|_| all[0].update(Interval::point(0)).is_err());
    // Either such an update makes no version, or the limit stops it.
    assert!(refused || index.version() < 10, "{:?}", index.stats());
    assert!(index.stats().pool_bytes < 4 * LIMIT, "{:?}", index.stats());
    drop(guard);
}

/// A pin on another thread holds everything back; one changing operation later than its end nothing is.
#[test]
fn a_pin_elsewhere_holds_back_until_it_goes() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all = filled(&index, &ops, 1_000);
    let (ready, go) = (Mailbox::new(1), Mailbox::new(1));
    let (index, all) = (&index, &all);
    scope(|scope| {
        let pinned = scope.spawn(|| {
            let guard = index.pin();
            let view = guard.view();
            ready.post(());
            go.take(PATIENCE).unwrap();
            assert_eq!((view.iter().count(), view.check()), (1000, Ok(())));
        });
        ready.take(PATIENCE).unwrap();
        let before = index.stats().retired_bytes;
        for registration in all {
            registration.update(Interval::point(registration.payload().id())).unwrap();
        }
        index.maintain();
        assert!(index.stats().retired_bytes > before + 1000 * 500);
        assert!(index.stats().versions_awaiting_grace >= 1000);
        go.post(());
        pinned.join().unwrap();
    });
    maintain_alone(index);
    assert_eq!((index.stats().retired_objects, index.stats().versions_awaiting_grace), (0, 0));
}

#[test]
fn the_counters_count() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    assert_eq!((index.stats().live_nodes, index.stats().tree_height), (0, 0));
    let all = filled(&index, &ops, 5_000);
    let stats = index.stats();
    assert_eq!((stats.version, stats.live_notifiers, index.len()), (1, 5_000, 5_000));
    assert!(stats.tree_height >= 3 && stats.live_nodes > 300 && stats.pool_bytes >= stats.node_bytes);
    assert!(index.dump().to_string().lines().count() == 5_001 && index.dump().to_string().contains("sound"));
    let graph = index.dump().dot().to_string();
    let (boxes, arrows) = (graph.matches("[label=").count() as u64, graph.matches(" -> ").count() as u64);
    assert_eq!(
        (boxes, arrows),
        (stats.live_nodes + 1, stats.live_nodes),
        "a box for the owner and one a node, all in one tree"
    );
    all[7].update(Interval::from_start_len(7 * 16, 3).unwrap()).unwrap();
    let copied = index.stats();
    assert_eq!((copied.live_nodes, copied.node_bytes), (stats.live_nodes, stats.node_bytes));
}
