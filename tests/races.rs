//! Every kind of thread beside every other, for ThreadSanitizer; a program of its own rather than a test of libtest's.
//!
//! The standard library comes compiled without instrumentation: its channels, its scoped threads, the slow path of its
//! locks and libtest itself are reported as races. The other tests do without those by parking_lot and `tests/visible`.
//! What is shared here goes by atomics, joined threads and the library under test alone, so that nothing else puts the
//! threads in an order. Payloads hold plain memory, which is read through hits and written when it is dropped; what a
//! callback and a filler share is behind a lock made of one atomic.
//!
//! `RACES_ROUNDS` sets the size; under `--cfg busted`, `BUSTED` names a sabotage.

use std::cell::UnsafeCell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notifier_index::{
    Event, FoundOrInserted, Held, Interval, Invalidating, Notifier, NotifierIndex, Ops, Reason, Registration, Snapshot,
    View, WouldBlock,
};

const PAGES: u64 = 64;
const STEPS: u64 = 300;
const THREADS: u64 = 11;
const EVENT: Event = Event::new(Reason::Unmap);
const PATIENCE: Duration = Duration::from_secs(20);
/// Of one round; beyond it something waits for ever, as it may under a sabotage.
const ROUND_LIMIT: Duration = Duration::from_secs(60);

/// Plain memory behind one atomic.
struct Locked<T> {
    is_held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached by whoever holds the lock.
unsafe impl<T: Send> Sync for Locked<T> {}

impl<T> Locked<T> {
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        while self.is_held.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        // SAFETY: held.
        let result = work(unsafe { &mut *self.value.get() });
        self.is_held.store(false, Ordering::Release);
        result
    }
}

/// Plain words, wiped when they are dropped, and a mirror that callbacks clear.
struct Payload {
    words: Box<[u64; 8]>,
    mirror: Locked<Option<u64>>,
}

impl Payload {
    fn new(id: u64) -> Self {
        let mirror = Locked { is_held: AtomicBool::new(false), value: UnsafeCell::new(None) };
        Payload { words: Box::new([id; 8]), mirror }
    }

    fn look(&self) {
        assert!(self.words.iter().all(|word| *word == self.words[0]), "wiped");
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.look();
        (1_u64..).zip(self.words.iter_mut()).for_each(|(mark, word)| *word = u64::MAX - mark);
    }
}

impl Notifier for Payload {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.look();
        self.mirror.with(|entry| *entry = None);
        count(&COUNTS.callbacks);
        Ok(())
    }

    fn finish(&self, _: &Invalidating<'_>) {
        self.look();
    }
}

/// A place in which one thread leaves something for another.
struct Drawer<T>(AtomicPtr<T>);

impl<T> Drawer<T> {
    const fn new() -> Self {
        Drawer(AtomicPtr::new(ptr::null_mut()))
    }

    fn swap(&self, new: Option<T>) -> Option<T> {
        let new = new.map_or(ptr::null_mut(), |new| Box::into_raw(Box::new(new)));
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: every pointer in the drawer came from a box, and the swap made it ours.
        (!old.is_null()).then(|| *unsafe { Box::from_raw(old) })
    }
}

impl<T> Drop for Drawer<T> {
    fn drop(&mut self) {
        self.swap(None);
    }
}

struct World {
    index: NotifierIndex,
    ops: Ops<Payload>,
    others: Ops<u64>,
    held: Drawer<Held<Payload>>,
    snapshot: Drawer<Snapshot>,
    registration: Drawer<Registration<Payload>>,
    is_open: AtomicBool,
}

struct Counts {
    rounds: AtomicU64,
    changes: AtomicU64,
    looks: AtomicU64,
    callbacks: AtomicU64,
    fills: AtomicU64,
    retries: AtomicU64,
}

static COUNTS: Counts = Counts {
    rounds: AtomicU64::new(0),
    changes: AtomicU64::new(0),
    looks: AtomicU64::new(0),
    callbacks: AtomicU64::new(0),
    fills: AtomicU64::new(0),
    retries: AtomicU64::new(0),
};

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % bound
    }

    /// Also a place to be interrupted at.
    fn range(&mut self) -> Interval {
        if self.below(3) == 0 {
            std::thread::yield_now();
        }
        let start = self.below(PAGES);
        Interval::new(start, start + self.below(8)).expect("in order")
    }
}

impl World {
    fn write(&self, dice: &mut Dice) {
        let mut mine: Vec<Registration<Payload>> = Vec::new();
        for id in 0..STEPS {
            let at = dice.below(mine.len().max(1) as u64) as usize;
            match dice.below(8) {
                _ if mine.len() < 4 => mine.push(self.insert(id, dice)),
                0 => mine.push(self.insert(id, dice)),
                1..=3 => drop(mine[at].update(dice.range()).expect("room")),
                4 => drop(mine.swap_remove(at).remove().expect("room")),
                5 => self.batch(&mut mine, at, id, dice),
                6 => drop(self.registration.swap(mine.pop())),
                _ => self.find_or_insert(dice),
            }
            count(&COUNTS.changes);
        }
    }

    fn insert(&self, id: u64, dice: &mut Dice) -> Registration<Payload> {
        self.index.insert(&self.ops, dice.range(), Payload::new(id)).expect("room")
    }

    fn batch(&self, mine: &mut Vec<Registration<Payload>>, at: usize, id: u64, dice: &mut Dice) {
        let gone = mine.swap_remove(at);
        let mut batch = self.index.batch();
        batch.remove(&gone).expect("ours");
        batch.update(&mine[0], dice.range()).expect("ours");
        let key = batch.insert(&self.ops, dice.range(), Payload::new(id)).expect("room");
        mine.extend(batch.commit().expect("room").take(key));
    }

    fn find_or_insert(&self, dice: &mut Dice) {
        let window = dice.range();
        match self.index.find_or_insert_with(&self.others, window, || window.start()).expect("room") {
            FoundOrInserted::Found(found) => assert!(*found.payload() < PAGES),
            FoundOrInserted::Inserted(new) => drop(new.remove_deferred().expect("room").wait()),
        }
    }

    fn look(&self, view: View<'_>, dice: &mut Dice) {
        let range = dice.range();
        for hit in view.find_all(&self.ops, range) {
            hit.payload().look();
        }
        let _ = view.gap_at(&self.ops, range.start());
        if let Some(hit) = view.find(&self.ops, range) {
            drop(self.held.swap(Some(hit.hold())));
        }
        count(&COUNTS.looks);
    }

    fn read(&self, way: u64, dice: &mut Dice) {
        let (mut reader, mut guard) = (self.index.reader(), self.index.pin());
        for step in 0..STEPS {
            match way {
                0 => {
                    self.look(guard.view(), dice);
                    guard.repin();
                }
                1 => self.look(reader.view(), dice),
                _ => {
                    let snapshot = self.index.snapshot();
                    self.look(snapshot.view(), dice);
                    // Another thread's version ends here, ours there.
                    if let Some(old) = self.snapshot.swap(Some(snapshot)) {
                        self.look(old.view(), dice);
                    }
                    if step % 16 == 0 {
                        assert_eq!(old_check(&self.index), Ok(()));
                    }
                }
            }
        }
    }

    fn invalidate(&self, dice: &mut Dice) {
        for step in 0..STEPS {
            let range = dice.range();
            match step % 2 {
                0 => drop(self.index.invalidate(range, EVENT)),
                _ => drop(self.index.try_invalidate(range, EVENT).expect("nobody refuses")),
            }
        }
    }

    fn fill(&self, dice: &mut Dice) {
        for step in 0..STEPS {
            let (range, point) = (dice.range(), Interval::point(dice.below(PAGES)));
            let found = || self.index.pin().find(&self.ops, range).map(|hit| hit.hold());
            let Some(held) = self.held.swap(None).or_else(found) else { continue };
            if let Ok(ticket) = held.read_begin_timeout(point, PATIENCE) {
                let _source = dice.range();
                held.mirror.with(|entry| match held.read_retry(ticket) {
                    true => count(&COUNTS.retries),
                    false => {
                        *entry = Some(step);
                        count(&COUNTS.fills);
                    }
                });
            }
            held.look();
        }
    }

    fn keep_house(&self) {
        for step in 0..STEPS / 4 {
            self.index.maintain();
            if let Some(registration) = self.registration.swap(None) {
                registration.payload().look();
                drop(registration);
            }
            if step % 8 == 0 {
                assert_eq!(self.index.barrier(), Ok(()));
                let stats = self.index.stats();
                assert!(stats.version <= self.index.version());
            }
        }
    }
}

fn old_check(index: &NotifierIndex) -> Result<(), notifier_index::Corruption> {
    index.snapshot().view().check()
}

fn round(number: u64) {
    let index = NotifierIndex::new();
    let (ops, others) = (index.register_ops(), index.register_passive_ops());
    let (held, snapshot, registration) = (Drawer::new(), Drawer::new(), Drawer::new());
    let is_open = AtomicBool::new(false);
    let world = Arc::new(World { index, ops, others, held, snapshot, registration, is_open });
    let spawn = |role: u64| {
        let world = Arc::clone(&world);
        let mut dice = Dice((number * 16 + role + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        std::thread::spawn(move || {
            while !world.is_open.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            match role {
                0..=2 => world.read(role, &mut dice),
                3 | 4 => world.invalidate(&mut dice),
                5 | 6 => world.fill(&mut dice),
                7 => world.keep_house(),
                _ => world.write(&mut dice),
            }
        })
    };
    let threads: Vec<JoinHandle<()>> = (0..THREADS).map(spawn).collect();
    world.is_open.store(true, Ordering::Release);
    threads.into_iter().for_each(|thread| thread.join().expect("a thread panicked"));
    assert_eq!(old_check(&world.index), Ok(()));
    assert_eq!(world.index.stats().sections_active, 0);
    count(&COUNTS.rounds);
}

/// Ends the process if a round does not end in time.
fn watch() {
    let (mut round, mut begun) = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let rounds = COUNTS.rounds.load(Ordering::Relaxed);
        if rounds != round {
            (round, begun) = (rounds, Instant::now());
        }
        if begun.elapsed() > ROUND_LIMIT {
            eprintln!("races: round {round} not over after {ROUND_LIMIT:?}: something waits for ever");
            std::process::abort();
        }
    }
}

fn warm_up() {
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let registration = index.insert(&ops, Interval::FULL, Payload::new(0)).expect("room");
    drop((index.invalidate(Interval::FULL, EVENT), index.pin(), index.reader()));
    drop(registration.remove_deferred().expect("room"));
    index.maintain();
}

fn main() {
    #[cfg(busted)]
    if let Ok(name) = std::env::var("BUSTED") {
        notifier_index::busted::set(&name).expect("a sabotage that is known");
    }
    let rounds = std::env::var("RACES_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20_u64);
    // What is made at its first use is made here: who waits for a `LazyLock` goes the uninstrumented way.
    warm_up();
    std::thread::spawn(watch);
    (0..rounds).for_each(round);
    let Counts { changes, looks, callbacks, fills, retries, .. } = &COUNTS;
    for (what, counter) in
        [("changes", changes), ("looks", looks), ("callbacks", callbacks), ("fills", fills), ("retries", retries)]
    {
        let count = counter.load(Ordering::Relaxed);
        println!("{what}: {count}");
        assert!(count > 0, "no {what}: nothing was raced");
    }
    println!("races: {rounds} rounds of {THREADS} threads passed");
}
