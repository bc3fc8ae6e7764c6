//! Every k-th allocation fails, for several k, while an index lives through a long random history: what is refused
//! changes nothing and gives everything back, what is not refused holds, and in the end nothing is lost.
//!
//! Not refused are the collector's own bags: crossbeam has no way to say that there is no memory for one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use notifier_index::{BatchError, Interval, NotifierIndex, Ops, Registration, UpdateError};

const STEPS: u64 = 6_000;
const MOST: usize = 600;

thread_local! {
    /// The distance between two refusals; 0: none are made.
    static EVERY: Cell<u32> = const { Cell::new(0) };
    static REQUESTS: Cell<u32> = const { Cell::new(0) };
}

struct EveryKth;

#[global_allocator]
static ALLOCATOR: EveryKth = EveryKth;

fn is_refused(layout: Layout) -> bool {
    let bag_bytes = if cfg!(crossbeam_sanitize) { 152..153 } else { 2000..2200 };
    if EVERY.get() == 0 || bag_bytes.contains(&layout.size()) {
        return false;
    }
    REQUESTS.set(REQUESTS.get() + 1);
    REQUESTS.get().is_multiple_of(EVERY.get())
}

// SAFETY: everything that is not refused is passed on to the system's allocator.
unsafe impl GlobalAlloc for EveryKth {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn refusing<R>(every: u32, work: impl FnOnce() -> R) -> R {
    EVERY.set(every);
    let result = work();
    EVERY.set(0);
    result
}

/// A payload that counts those alive.
#[derive(Debug)]
struct Counted(u64, Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The index and what must be in it.
struct Storm {
    index: NotifierIndex,
    ops: Ops<Counted>,
    standing: BTreeMap<u64, (Interval, Registration<Counted>)>,
    alive: Arc<AtomicUsize>,
    every: u32,
    draws: u64,
    refused: u64,
}

impl Storm {
    fn new(every: u32) -> Self {
        let index = NotifierIndex::new();
        // The collector's registration of a thread, on its first pin, cannot be refused either.
        drop(index.pin());
        let (ops, alive) = (index.register_passive_ops(), Arc::default());
        Storm { index, ops, standing: BTreeMap::new(), alive, every, draws: 0x2545_f491_4f6c_dd1d, refused: 0 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draws ^= self.draws << 13;
        self.draws ^= self.draws >> 7;
        self.draws ^= self.draws << 17;
        (self.draws >> 33) % bound
    }

    fn interval(&mut self) -> Interval {
        let start = self.below(4000);
        Interval::new(start, start + self.below(40)).unwrap()
    }

    fn payload(&self, id: u64) -> Counted {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Counted(id, Arc::clone(&self.alive))
    }

    fn pick(&mut self) -> Option<u64> {
        let at = self.below(self.standing.len().max(1) as u64) as usize;
        self.standing.keys().nth(at).copied()
    }

    fn insert(&mut self, id: u64) {
        let (interval, payload) = (self.interval(), self.payload(id));
        match refusing(self.every, || self.index.insert(&self.ops, interval, payload)) {
            Ok(registration) => drop(self.standing.insert(id, (interval, registration))),
            Err(error) => {
                assert_eq!(error.value.0, id, "it comes back");
                self.refused += 1;
            }
        }
    }

    fn update(&mut self) {
        let (interval, Some(id)) = (self.interval(), self.pick()) else { return };
        let entry = self.standing.get_mut(&id).unwrap();
        match refusing(self.every, || entry.1.update(interval)) {
            Ok(_) => entry.0 = interval,
            Err(error) => {
                assert_eq!((error, entry.1.interval()), (UpdateError::OutOfMemory, entry.0));
                self.refused += 1;
            }
        }
    }

    fn remove(&mut self) {
        let Some(id) = self.pick() else { return };
        let (interval, registration) = self.standing.remove(&id).unwrap();
        if let Err(error) = refusing(self.every, || registration.remove()) {
            let registration = error.value;
            assert_eq!((registration.payload().0, registration.interval()), (id, interval));
            self.standing.insert(id, (interval, registration));
            self.refused += 1;
        }
    }

    /// Four at once, through a batch; one of them moves away what stands.
    fn batch(&mut self, id: u64) {
        let moved = self.pick().map(|moved| (moved, self.interval()));
        let new: Vec<_> = (id..id + 3).map(|id| (id, self.interval(), self.payload(id))).collect();
        let mut batch = self.index.batch();
        if let Some((moved, to)) = moved {
            batch.update(&self.standing[&moved].1, to).unwrap();
        }
        let keys: Vec<_> =
            new.into_iter().map(|(id, at, payload)| (id, at, batch.insert(&self.ops, at, payload).unwrap())).collect();
        match refusing(self.every, || batch.commit()) {
            Ok(mut committed) => {
                let made = keys.into_iter().map(|(id, at, key)| (id, (at, committed.take(key).unwrap())));
                let made: Vec<_> = made.collect();
                self.standing.extend(made);
                if let Some((moved, to)) = moved {
                    self.standing.get_mut(&moved).unwrap().0 = to;
                }
            }
            Err(error) => {
                assert_eq!(error.reason, BatchError::OutOfMemory);
                let mut batch = error.value;
                assert!(keys.into_iter().all(|(id, _, key)| batch.take_payload(key).unwrap().0 == id));
                self.refused += 1;
            }
        }
    }

    fn check(&self) {
        let snapshot = self.index.snapshot();
        assert_eq!((snapshot.view().check(), snapshot.view().len()), (Ok(()), self.standing.len()));
        for (id, (interval, _)) in &self.standing {
            let mut hits = snapshot.find_all(&self.ops, *interval);
            assert!(
                hits.any(|hit| hit.payload().0 == *id && hit.interval() == *interval),
                "{id} at {interval} is lost"
            );
        }
    }

    fn live(&mut self) {
        for step in 0..STEPS {
            match self.below(10) {
                _ if self.standing.len() > MOST => self.remove(),
                0..=2 => self.insert(step * 4),
                3..=6 => self.update(),
                7..=8 => self.remove(),
                _ => self.batch(step * 4),
            }
            if step % 500 == 0 {
                self.check();
            }
        }
        self.check();
    }

    fn end(mut self) -> u64 {
        self.standing.clear();
        for _ in 0..1000 {
            self.index.maintain();
            if self.index.stats().retired_objects == 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let stats = self.index.stats();
        assert_eq!((self.index.len(), stats.retired_objects, stats.live_nodes), (0, 0, 0));
        assert_eq!(self.alive.load(Ordering::Relaxed), 0);
        self.refused
    }
}

/// One test, so that the collector is nobody else's.
#[test]
fn nothing_is_lost_when_every_kth_allocation_fails() {
    for every in [1, 2, 3, 5, 8, 13, 34] {
        let mut storm = Storm::new(every);
        // Something to live with, also where nothing new can be had.
        (0..300).for_each(|id| {
            let (interval, payload) = (storm.interval(), storm.payload(1_000_000 + id));
            let registration = storm.index.insert(&storm.ops, interval, payload).unwrap();
            storm.standing.insert(1_000_000 + id, (interval, registration));
        });
        storm.live();
        let refused = storm.end();
        println!("every {every}: {refused} of {STEPS} operations refused");
        assert!(refused > 0, "nothing was refused");
    }
}
