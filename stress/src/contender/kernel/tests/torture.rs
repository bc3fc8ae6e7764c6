//! A mirror kept by collision-retry while sections, inserts, updates and removals run on other threads.
//!
//! The source is a number for each page, raised inside a section over it; a mirror holds one page's number. Inside a
//! section nothing of its page may be mirrored, and what is filled is never older than the page.

use std::sync::atomic::AtomicU64;

use super::*;

const PAGES: usize = 4;
const ROUNDS: usize = 3_000;

/// One page's number as read, under the user's lock.
#[derive(Default)]
struct Mirror {
    seen: Mutex<Option<u64>>,
    /// The planted break: the sequence is not set.
    forgets: bool,
}

impl KernelNotifier for Mirror {
    fn invalidate(&self, _range: &KernelRange, sequence: KernelSequence<'_>) -> bool {
        let mut seen = self.seen.lock();
        if !self.forgets {
            sequence.set();
        }
        *seen = None;
        true
    }
}

/// The set, the source, and one standing mirror for each page.
struct World {
    notifiers: KernelNotifiers<Mirror>,
    source: [AtomicU64; PAGES],
    mirrors: Vec<KernelRegistration<Mirror>>,
    stale: AtomicUsize,
    filled: AtomicUsize,
}

impl World {
    fn new(forgets: bool) -> Self {
        let (notifiers, source) = (KernelNotifiers::new(), std::array::from_fn(|_| AtomicU64::new(0)));
        let mirror = || Mirror { forgets, ..Mirror::default() };
        let mirrors = (0..PAGES).map(|at| notifiers.insert(0, page(at as u64), mirror())).collect();
        World { notifiers, source, mirrors, stale: AtomicUsize::new(0), filled: AtomicUsize::new(0) }
    }

    /// Changes a page, as its only mutator; looks for a mirror of it inside the section.
    fn mutate(&self, at: usize) {
        let section = start(&self.notifiers, page(at as u64));
        for raised in [true, false] {
            if raised {
                self.source[at].fetch_add(1, Ordering::Relaxed);
            }
            std::thread::yield_now();
            let is_stale = self.mirrors[at].payload().seen.lock().is_some();
            self.stale.fetch_add(usize::from(is_stale), Ordering::Relaxed);
        }
        drop(section);
    }

    /// Reads a page and, if that has not collided, mirrors it.
    fn fill(&self, at: usize) {
        let subscription = self.mirrors[at].subscription();
        let ticket = self.notifiers.read_begin(subscription);
        let number = self.source[at].load(Ordering::Relaxed);
        std::thread::yield_now();
        let mut seen = subscription.payload().seen.lock();
        if !subscription.read_retry(ticket) {
            *seen = Some(number);
            let is_stale = self.source[at].load(Ordering::Relaxed) != number;
            self.stale.fetch_add(usize::from(is_stale), Ordering::Relaxed);
            self.filled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Registers, moves and removes others beside them, by both removals.
    fn stir(&self, round: usize) {
        let [from, to, over] = [round, round * 7 + 1, round * 3].map(|at| page((at % PAGES) as u64));
        let mut other = self.notifiers.insert(1, from, Mirror::default());
        assert!(self.notifiers.find(1, from).is_some());
        self.notifiers.update(&mut other, to);
        assert!(found(&self.notifiers, over).is_some());
        if round.is_multiple_of(2) {
            self.notifiers.remove(other);
        } else {
            self.notifiers.remove_deferred(other);
        }
    }

    fn run(&self) {
        std::thread::scope(|scope| {
            (0..2).for_each(|half| {
                scope.spawn(move || (0..ROUNDS).for_each(|round| self.mutate((round % 2) * 2 + half)));
                scope.spawn(move || (0..ROUNDS).for_each(|round| self.fill((round + half) % PAGES)));
            });
            scope.spawn(|| (0..ROUNDS).for_each(|round| self.stir(round)));
        });
    }
}

#[test]
fn no_stale_mirror_under_concurrent_changes() {
    let world = World::new(false);
    world.run();
    assert_eq!(world.stale.load(Ordering::Relaxed), 0);
    assert!(world.filled.load(Ordering::Relaxed) > 0);
    world.notifiers.synchronize();
    let stats = world.notifiers.stats();
    let rest = (stats.active_invalidate_ranges, stats.deferred_count, stats.notifier_count, stats.waiting_count);
    assert_eq!((rest, found(&world.notifiers, Span::FULL)), ((0, 0, PAGES, 0), Some(page(0))));
    assert!(world.notifiers.find(1, Span::FULL).is_none());
}

#[test]
fn a_callback_that_sets_no_sequence_is_caught() {
    let caught = (0..100).any(|_| {
        let world = World::new(true);
        world.run();
        world.stale.load(Ordering::Relaxed) > 0
    });
    assert!(caught);
}
