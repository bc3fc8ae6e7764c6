//! Guards and handles that are forgotten: a leak at most. In a process of its own, because a forgotten pin holds back
//! what every index of the process retires, for good.

#![cfg_attr(tsan, feature(custom_test_frameworks, test), test_runner(runner::run))]

#[path = "it/forget.rs"]
mod forgetting;
#[cfg(tsan)]
#[path = "visible/runner.rs"]
mod runner;

use notifier_index::{Config, Interval, NotifierIndex};

use forgetting::forget;

#[derive(Debug)]
struct Payload(#[expect(dead_code, reason = "told apart by whoever debugs this")] u64);

#[test]
fn whatever_is_forgotten_is_a_leak_at_most() {
    let index = NotifierIndex::with_config(Config::new().retired_limit(64 << 20));
    let ops = index.register_passive_ops();
    let all: Vec<_> = (0..100).map(|id| index.insert(&ops, Interval::point(id), Payload(id)).unwrap()).collect();
    forget(index.pin().find(&ops, Interval::point(3)).unwrap().hold());
    forget((index.reader(), index.snapshot(), all[7].hold()));
    let mut batch = index.batch();
    batch.update(&all[9], Interval::point(999)).unwrap();
    let _key = batch.insert(&ops, Interval::point(5), Payload(500)).unwrap();
    forget(batch);
    // On a thread of its own, because a forgotten pin stays for as long as its thread.
    std::thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            let guard = index.pin();
            assert_eq!(guard.view().len(), 100);
            forget(guard);
        });
        pinned.join().unwrap();
    });
    let mut committed = index.batch();
    let key = committed.insert(&ops, Interval::point(5), Payload(501)).unwrap();
    let committed = committed.commit().unwrap();
    forget((committed, key));
    for step in 0..2000 {
        all[step as usize % 100].update(Interval::point(step)).unwrap();
    }
    forget(all);
    index.maintain();
    let (guard, mut reader, snapshot) = (index.pin(), index.reader(), index.snapshot());
    for view in [guard.view(), reader.view(), snapshot.view()] {
        assert_eq!((view.len(), view.check()), (101, Ok(())));
    }
}
