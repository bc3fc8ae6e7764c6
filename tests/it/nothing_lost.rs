//! Destructors of payloads that panic: the others run all the same, and the panic goes on to whoever ran them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier_index::{Interval, NotifierIndex, Registration};

use crate::turn::alone;

const COUNT: usize = 300;

/// Counts its drop; some panic in it, with something that panics when it is dropped itself.
struct Payload(usize, Arc<AtomicUsize>);

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in the drop of what was thrown");
        }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
        if self.0 % 100 == 50 {
            std::panic::panic_any(Bomb);
        }
    }
}

fn many(index: &NotifierIndex) -> (Vec<Registration<Payload>>, Arc<AtomicUsize>) {
    let (ops, drops) = (index.register_passive_ops(), Arc::default());
    let items = (0..COUNT).map(|at| (Interval::point(at as u64), Payload(at, Arc::clone(&drops))));
    (index.insert_many(&ops, items).unwrap(), drops)
}

fn panics(act: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(()) => false,
        Err(thrown) => {
            // Without a size, so nothing is lost by it.
            if thrown.is::<Bomb>() {
                std::mem::forget(thrown);
            }
            true
        }
    }
}

#[test]
fn maintain_drops_all_although_some_panic() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let (all, drops) = many(&index);
    drop(all);
    assert!(panics(|| index.maintain()), "the panic goes on to the caller");
    assert_eq!(drops.load(Ordering::Relaxed), COUNT);
    index.maintain();
    assert_eq!(drops.load(Ordering::Relaxed), COUNT, "each once");
}

#[test]
fn the_index_drops_all_although_some_panic() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let (all, drops) = many(&index);
    let panicked = panics(move || {
        drop(index);
        drop(all);
    });
    assert_eq!((panicked, drops.load(Ordering::Relaxed)), (true, COUNT));
}

/// A second panic would end the process.
#[test]
fn a_thread_that_panics_may_run_destructors_that_panic() {
    let _turn = alone();
    let index = NotifierIndex::new();
    let (all, drops) = many(&index);
    struct Maintains(NotifierIndex);
    impl Drop for Maintains {
        fn drop(&mut self) {
            self.0.maintain();
        }
    }
    let panicked = panics(move || {
        let _maintains = Maintains(index);
        drop(all);
        panic!("the first");
    });
    assert_eq!((panicked, drops.load(Ordering::Relaxed)), (true, COUNT));
}
