//! Who calls the allocator: a `Reader` never, a steady update next to never. Counted for each thread by itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use notifier_index::{Interval, NotifierIndex, Ops, Reader, Registration};

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { allocated: 0, freed: 0 }) };
}

/// Calls of the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    allocated: u64,
    freed: u64,
}

impl Counts {
    const NONE: Counts = Counts { allocated: 0, freed: 0 };

    /// Those of this thread during `work`.
    fn of<R>(work: impl FnOnce() -> R) -> (Counts, R) {
        let before = COUNTS.get();
        let result = work();
        let after = COUNTS.get();
        let counts = Counts { allocated: after.allocated - before.allocated, freed: after.freed - before.freed };
        (counts, result)
    }
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(change: impl FnOnce(&mut Counts)) {
    // A thread that is ending no longer counts.
    let _ = COUNTS.try_with(|counts| {
        let mut changed = counts.get();
        change(&mut changed);
        counts.set(changed);
    });
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|counts| counts.allocated += 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(|counts| counts.allocated += 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(|counts| counts.allocated += 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(|counts| counts.freed += 1);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

const NOTIFIERS: u64 = 10_000;

fn filled() -> (NotifierIndex, Ops<u64>, Vec<Registration<u64>>) {
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let items = (0..NOTIFIERS).map(|id| (Interval::point(id * 16), id));
    let all = index.insert_many(&ops, items).unwrap();
    (index, ops, all)
}

/// A place for notifier `id` that depends on the step.
fn place(id: u64, step: u64) -> Interval {
    Interval::point(id * 16 + step % 16)
}

/// Looks in every way that a reader has; the newest version that it saw.
fn look(reader: &mut Reader, ops: &Ops<u64>, at: u64) -> u64 {
    let id = at % (NOTIFIERS - 3);
    let window = Interval::from_start_len(id * 16, 40).unwrap();
    let found = reader.find(ops, window).unwrap();
    assert!(*found.payload() >= id && found.interval().overlaps(window));
    assert!(reader.find_all(ops, window).count() >= 2);
    let mut hits = [None; 8];
    reader.find_many(ops, &[window; 8], &mut hits).unwrap();
    let view = reader.view();
    assert!(view.overlapping(window).count() >= 2 && view.containing(ops, window).count() == 0);
    assert!(view.first_after(ops, id * 16).is_some() || id + 1 == NOTIFIERS);
    let _ = (view.last_before(ops, id), view.gap_at(ops, id * 16 + 17));
    view.version()
}

#[test]
fn a_reader_never_calls_the_allocator() {
    /// So many at least, and more until there was enough to refresh for.
    const LOOKS: u64 = 20_000;
    const REFRESHES: u64 = 200;
    let (index, ops, all) = filled();
    let (ready, done) = (Barrier::new(3), AtomicBool::new(false));
    let (refreshed, published) = (AtomicU64::new(0), AtomicU64::new(0));
    let read = |seed: u64| {
        let mut reader = index.reader();
        ready.wait();
        let (counts, newest) = Counts::of(|| {
            let mut newest = 0;
            for step in 0..100 * LOOKS {
                if step >= LOOKS && refreshed.load(Ordering::Relaxed) >= REFRESHES {
                    break;
                }
                if step % 256 == 0 {
                    // Where cores are few, the writer gets its turn.
                    std::thread::yield_now();
                }
                let seen = look(&mut reader, &ops, step.wrapping_mul(seed));
                refreshed.fetch_add(u64::from(seen > newest), Ordering::Relaxed);
                newest = newest.max(seen);
            }
            newest
        });
        assert_eq!(counts, Counts::NONE, "up to version {newest}");
        reader
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ready.wait();
            while !done.load(Ordering::Relaxed) {
                let step = published.fetch_add(1, Ordering::Relaxed);
                let id = step.wrapping_mul(7919) % NOTIFIERS;
                all[id as usize].update(place(id, step)).unwrap();
            }
        });
        let readers = [scope.spawn(|| drop(read(7))), scope.spawn(|| drop(read(7907)))];
        let results = readers.map(std::thread::ScopedJoinHandle::join);
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
    let (refreshed, published) = (refreshed.into_inner(), published.into_inner());
    println!("{refreshed} refreshes during {published} publications, no call of the allocator");
    assert!(refreshed >= REFRESHES, "{refreshed} refreshes show nothing");
}

/// Letting go of the last hold of a version, or of a payload, is not the reader's work either.
#[test]
fn letting_go_never_calls_the_allocator() {
    let (index, ops, mut all) = filled();
    let mut reader = index.reader();
    let (snapshot, held) = (index.snapshot(), reader.find(&ops, Interval::FULL).unwrap().hold());
    let copies = [snapshot.clone(), snapshot.clone()];
    for step in 0..1000 {
        all[step as usize].update(place(step, step)).unwrap();
    }
    all.clear();
    index.maintain();
    let (counts, ()) = Counts::of(|| {
        assert_eq!(reader.view().len(), 0);
        drop((copies, snapshot, held, reader));
    });
    assert_eq!(counts, Counts::NONE);
}

#[test]
fn a_steady_update_hardly_ever_calls_the_allocator() {
    const UPDATES: u64 = 100_000;
    let at_most = if cfg!(tiny_nodes) { 0.6 } else { 0.05 };
    let (_index, _ops, all) = filled();
    let mut update = |step: u64| {
        let id = step.wrapping_mul(7919) % NOTIFIERS;
        all[id as usize].update(place(id, step / NOTIFIERS)).unwrap()
    };
    (0..UPDATES / 2).for_each(|step| assert!(update(step) > 0));
    let (counts, last) = Counts::of(|| (0..UPDATES).map(&mut update).max());
    assert_eq!(last, Some(1 + UPDATES / 2 + UPDATES));
    let an_update = counts.allocated as f64 / UPDATES as f64;
    println!("{an_update:.4} allocations and {:.4} frees an update", counts.freed as f64 / UPDATES as f64);
    assert!(an_update <= at_most, "{an_update}");
}
