//! The bytes of the whole process: back to the start when everything is gone, and bounded while changes are refused.
//! The tests take turns, because they count what all threads do.

#![cfg_attr(tsan, feature(custom_test_frameworks, test), test_runner(runner::run))]

#[cfg(tsan)]
#[path = "visible/runner.rs"]
mod runner;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use notifier_index::{Config, FoundOrInserted, Holder, Interval, NotifierIndex, Ops, UpdateError};

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static TURN: Mutex<()> = Mutex::new(());

struct Balance;

#[global_allocator]
static ALLOCATOR: Balance = Balance;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Balance {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn live_bytes() -> usize {
    LIVE_BYTES.load(Ordering::Relaxed)
}

/// A payload that is missed if one of many is lost.
struct Load([u8; 1000]);

impl Load {
    fn new(id: u64) -> Self {
        Load([id as u8; 1000])
    }
}

fn change_in_every_way(index: &NotifierIndex, ops: &Ops<Load>, base: u64) {
    let at = |id: u64| Interval::point(base + id);
    let mut all = index.insert_many(ops, (0..300).map(|id| (at(id), Load::new(id)))).unwrap();
    let mut reader = index.reader();
    let snapshot = index.snapshot();
    for (id, registration) in all.iter().enumerate() {
        registration.update(at(id as u64 * 3)).unwrap();
    }
    let held: Vec<_> = snapshot.find_all(ops, Interval::FULL).step_by(7).map(|hit| hit.hold()).collect();
    let gone: Vec<_> = all.drain(100..150).collect();
    let mut batch = index.batch();
    for registration in &gone {
        batch.remove(registration).unwrap();
    }
    let (key, _untaken) =
        (batch.insert(ops, at(7), Load::new(7)).unwrap(), batch.insert(ops, at(8), Load::new(8)).unwrap());
    all.push(batch.commit().unwrap().take(key).unwrap());
    drop(gone);
    let mut dropped = index.batch();
    let _ = dropped.insert(ops, at(9), Load::new(9)).unwrap();
    dropped.remove(&all[0]).unwrap();
    drop(dropped);
    all.pop().into_iter().for_each(drop);
    if let FoundOrInserted::Inserted(found) = index.find_or_insert_with(ops, at(5000), || Load::new(1)).unwrap() {
        all.push(found);
    }
    assert!(reader.view().len() >= 200 && held.iter().all(|held| held.0.len() == 1000));
    all.drain(..50).for_each(|registration| assert!(registration.remove().is_ok()));
}

/// One index from its beginning to its end, used by three threads and many owners.
fn live_and_die(round: usize) {
    let index = NotifierIndex::new();
    let owners: Vec<Ops<Load>> = (0..40).map(|_| index.register_passive_ops()).collect();
    std::thread::scope(|scope| {
        let spawn = |thread: usize| {
            let (index, ops) = (&index, &owners[thread * 17]);
            scope.spawn(move || change_in_every_way(index, ops, thread as u64 * 100_000))
        };
        // Joined one by one, which ThreadSanitizer sees.
        [0, 1, 2].map(spawn).into_iter().for_each(|thread| thread.join().unwrap());
    });
    let registered = index.insert(&owners[0], Interval::FULL, Load::new(0)).unwrap();
    let (snapshot, reader) = (index.snapshot(), index.reader());
    match round % 3 {
        0 => drop(index),
        1 => index.close().map_or_else(|refused| panic!("{refused}"), |_| drop(index)),
        _ => {
            index.maintain();
            drop(index);
        }
    }
    drop((registered, reader, snapshot));
}

/// What crossbeam and arc-swap keep for threads that have been, and calls not yet run, is there once and stays.
fn settle() {
    let index = NotifierIndex::new();
    (0..8).for_each(|_| index.maintain());
}

/// The bytes that live once it is quiet: a scope does not wait for its threads' thread-locals, so the last of them may
/// still be on their way out.
fn settled_below(bound: usize) -> usize {
    for _ in 0..100 {
        settle();
        if live_bytes() <= bound {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    live_bytes()
}

#[test]
fn everything_is_given_back_when_everything_is_gone() {
    const ROUNDS: usize = 100;
    /// Two of the collector's bags may or may not be there.
    const NOISE: usize = 8 << 10;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (0..6).for_each(live_and_die);
    settle();
    let before = live_bytes();
    (0..ROUNDS).for_each(live_and_die);
    let after = settled_below(before + NOISE);
    println!("{before} bytes before, {after} after {ROUNDS} more indexes");
    // One object of any kind lost in each round would be more than this.
    assert!(after <= before + NOISE, "{before} before, {after} after");
}

/// What an index needs before anything is in it.
#[test]
fn an_empty_index_is_small() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    settle();
    let before = live_bytes();
    let index = NotifierIndex::new();
    let after = live_bytes();
    println!("{} bytes", after - before);
    assert!(after - before <= 8 << 10, "{} bytes", after - before);
    drop(index);
}

#[test]
fn refused_changes_do_not_pile_up() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let index = NotifierIndex::with_config(Config::new().retired_limit(1 << 20));
    let ops = index.register_passive_ops();
    let registration = index.insert(&ops, Interval::point(0), Load::new(0)).unwrap();
    let guard = index.pin();
    let refused = (0..100_000).find_map(|at| registration.update(Interval::point(at)).err());
    assert!(
        matches!(refused, Some(UpdateError::RetiredLimit(held_back)) if held_back.by == Holder::Pin),
        "{refused:?}"
    );
    let before = live_bytes();
    for at in 0..2_000 {
        assert!(registration.update(Interval::point(at)).is_err());
        index.maintain();
    }
    let after = live_bytes();
    println!("{before} bytes before, {after} after 2000 refused updates");
    assert!(after < before + (64 << 10), "{before} before, {after} after");
    drop(guard);
    registration.update(Interval::point(1)).unwrap();
}
