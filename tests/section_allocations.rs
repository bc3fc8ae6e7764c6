//! Begin, end and retry do not allocate. A binary of its own, because it counts what the whole process does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use notifier_index::{Event, Interval, Invalidating, Notifier, NotifierIndex, Reason, WouldBlock};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(memory, layout) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller says.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Quiet(bool);

impl Notifier for Quiet {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        if self.0 { Err(WouldBlock) } else { Ok(()) }
    }
}

fn allocations(call: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    call();
    ALLOCATIONS.with(Cell::get) - before
}

const CLEAR: Event = Event::new(Reason::Clear);

fn crowd() -> (NotifierIndex, Vec<notifier_index::Registration<Quiet>>) {
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let probes = (0..1000).map(|at| index.insert(&ops, Interval::point(at), Quiet(at == 900)).unwrap()).collect();
    (index, probes)
}

#[test]
fn try_invalidate_allocates_nothing() {
    let (index, probes) = crowd();
    let sections = || {
        drop(index.try_invalidate(Interval::point(5000), CLEAR).unwrap());
        drop(index.try_invalidate(Interval::new(0, 800).unwrap(), CLEAR).unwrap());
        assert!(index.try_invalidate(Interval::FULL, CLEAR).is_err());
        let outer = index.try_invalidate(Interval::new(0, 99).unwrap(), CLEAR).unwrap();
        let inner = index.try_invalidate(Interval::new(50, 60).unwrap(), CLEAR).unwrap();
        drop(outer);
        drop(inner);
        drop(index.invalidate(Interval::FULL, CLEAR));
        assert_eq!(index.stats().sections_active, 0);
    };
    sections();
    assert_eq!(allocations(|| (0..100).for_each(|_| sections())), 0);
    drop(probes);
}

/// A thread that may not allocate has perhaps never called the index before.
#[test]
fn the_first_of_a_thread_allocates_nothing() {
    let (index, _probes) = crowd();
    let first = std::thread::scope(|scope| {
        scope.spawn(|| allocations(|| drop(index.try_invalidate(Interval::new(0, 9).unwrap(), CLEAR)))).join().unwrap()
    });
    assert_eq!(first, 0);
}

/// Sections look at the tree by marks of their own, not under pins that may collect.
#[test]
fn millions_beside_a_writer_allocate_nothing() {
    const CALLS: u64 = if cfg!(debug_assertions) { 500_000 } else { 10_000_000 };
    let (index, probes) = crowd();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 0;
            while !is_over.load(Ordering::Relaxed) {
                probes[at % 800].update(Interval::point(at as u64 % 800)).unwrap();
                at += 1;
            }
        });
        let sections = || {
            for at in 0..CALLS {
                // Every other one tells somebody.
                drop(index.try_invalidate(Interval::point(at % 2 * 5000 + at % 700), CLEAR));
            }
        };
        assert_eq!(allocations(sections), 0);
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(index.version() > 2_000, "the writer has hardly written");
}

#[test]
fn begin_and_retry_allocate_nothing() {
    let (index, probes) = crowd();
    let retry = |at: usize| {
        let ticket = probes[at].read_begin(Interval::point(at as u64)).unwrap();
        drop(index.try_invalidate(Interval::point(at as u64), CLEAR));
        assert!(probes[at].read_retry(ticket));
    };
    retry(0);
    assert_eq!(allocations(|| (0..1000).for_each(retry)), 0);
}
