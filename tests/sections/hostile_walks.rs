//! Callbacks that panic, refuse, die, or wait for one another: nothing is lost, nothing hangs, nothing becomes quadratic.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use notifier_index::{
    BeginError, Event, Interval, Invalidating, Notifier, NotifierIndex, Ops, Reason, Registration, WouldBlock,
};
use parking_lot::Mutex;

use crate::mailbox::Mailbox;
use crate::scope::scope;
use crate::support::{MOMENT, PATIENCE, deadline};

const EVENT: Event = Event::new(Reason::Other);

/// What a panic throws, and panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in the drop of what was thrown");
        }
    }
}

struct Throws;

impl Notifier for Throws {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        panic_any(Bomb)
    }
}

struct Counts(AtomicUsize);

impl Notifier for Counts {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The innocent one is told, no section stays, no callback stays counted.
#[test]
fn what_a_panic_throws_may_panic_in_its_turn() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let (good, bad) = (index.register_ops::<Counts>(), index.register_ops::<Throws>());
    let innocent = index.insert(&good, Interval::point(1), Counts(AtomicUsize::new(0))).unwrap();
    let _bad: Vec<_> = (0..3).map(|_| index.insert(&bad, Interval::point(1), Throws).unwrap()).collect();
    let thrown = catch_unwind(AssertUnwindSafe(|| drop(index.invalidate(Interval::point(1), EVENT))));
    std::mem::forget(thrown.expect_err("the first panic goes on"));
    assert_eq!((innocent.payload().0.load(Ordering::Relaxed), index.stats().sections_active), (1, 0));
    innocent.remove_deferred().unwrap().wait_timeout(PATIENCE).expect("no callback of it is left running");
}

/// The greatest of the ratios of the times for `sizes[1]` and `sizes[0]` that is to be allowed: four times linear. The best of
/// several runs each, on a machine that does other things too.
fn is_about_linear(sizes: [u64; 2], run: impl Fn(u64) -> Duration) {
    let [small, large] = sizes.map(|size| (0..5).map(|_| run(size)).min().expect("there are five"));
    let bound = small * 4 * (sizes[1] / sizes[0]) as u32;
    assert!(large < bound, "{} take {small:?}, and {} take {large:?}", sizes[0], sizes[1]);
}

fn telling_all(index: &NotifierIndex) -> Duration {
    let begun = Instant::now();
    drop(index.invalidate(Interval::FULL, EVENT));
    begun.elapsed()
}

struct Refuses;

impl Notifier for Refuses {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        Err(WouldBlock)
    }
}

#[test]
fn many_that_refuse_are_told_in_linear_time() {
    let _deadline = deadline();
    is_about_linear([1_000, 16_000], |count| {
        let index = NotifierIndex::new();
        let ops = index.register_ops::<Refuses>();
        let items = (0..count).map(|at| (Interval::point(at), Refuses));
        let _all = index.insert_many(&ops, items).unwrap();
        let elapsed = telling_all(&index);
        assert_eq!(index.stats().callbacks_refused, count);
        elapsed
    });
}

/// The first that is told removes all the others.
#[derive(Default)]
struct Sibling {
    told: AtomicUsize,
    others: Mutex<Vec<Registration<Sibling>>>,
}

impl Notifier for Sibling {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.told.fetch_add(1, Ordering::Relaxed);
        self.others.lock().clear();
        Ok(())
    }
}

#[test]
fn dying_siblings_are_told_once_in_linear_time() {
    let _deadline = deadline();
    is_about_linear([1_000, 16_000], |count| {
        let index = NotifierIndex::new();
        let ops = index.register_ops::<Sibling>();
        let items = (1..=count).map(|at| (Interval::point(at), Sibling::default()));
        let others = index.insert_many(&ops, items).unwrap();
        let held: Vec<_> = others.iter().map(Registration::hold).collect();
        let first = Sibling { others: Mutex::new(others), ..Sibling::default() };
        let first = index.insert(&ops, Interval::point(0), first).unwrap();
        let elapsed = telling_all(&index);
        assert_eq!((first.payload().told.load(Ordering::Relaxed), index.len()), (1, 1));
        assert!(held.iter().all(|held| held.told.load(Ordering::Relaxed) == 0), "the dead are not told");
        elapsed
    });
}

/// Begins, in its callback, to read under the other one's section.
struct Crosses {
    meets: Mailbox<()>,
    met: Mailbox<()>,
    begun: Mutex<Vec<Option<BeginError>>>,
}

impl Crosses {
    fn new() -> Self {
        Crosses { meets: Mailbox::new(1), met: Mailbox::new(1), begun: Mutex::default() }
    }
}

static BOTH: LazyLock<[Crosses; 2]> = LazyLock::new(|| [Crosses::new(), Crosses::new()]);

static CROSSED: LazyLock<(NotifierIndex, Ops<Crossing>)> = LazyLock::new(|| {
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    (index, ops)
});

struct Crossing(usize);

impl Notifier for Crossing {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        let (mine, other) = (&BOTH[self.0], &BOTH[1 - self.0]);
        other.meets.post(());
        mine.meets.take(PATIENCE).expect("the other one is in its callback too");
        let (index, ops) = &*CROSSED;
        let at = Interval::point(1 - self.0 as u64);
        let hit = index.pin().find(ops, at).expect("registered").hold();
        let errors = [hit.read_begin(at).err(), hit.read_begin_timeout(at, MOMENT).err()];
        mine.begun.lock().extend(errors);
        other.met.post(());
        mine.met.take(PATIENCE).expect("the other one does not hang");
        Ok(())
    }
}

/// Two callbacks over each other's sections would wait for ever.
#[test]
fn a_callback_does_not_wait_for_sections_without_a_deadline() {
    let _deadline = deadline();
    // Made before the threads are: what std's lazy values order, ThreadSanitizer does not see.
    LazyLock::force(&BOTH);
    let (index, ops) = &*CROSSED;
    let _registrations = [0, 1].map(|at| index.insert(ops, Interval::point(at as u64), Crossing(at)).unwrap());
    scope(|scope| {
        for at in 0..2 {
            scope.spawn(move || drop(index.invalidate(Interval::point(at), EVENT)));
        }
    });
    for crosses in BOTH.iter() {
        let expected = [Some(BeginError::WouldDeadlock), Some(BeginError::TimedOut)];
        assert_eq!(*crosses.begun.lock(), expected);
    }
}

/// A thread knows its own sections also while its thread-locals are destroyed, and those of others as theirs.
#[test]
fn a_destructor_of_a_thread_local_knows_its_own_sections() {
    let _deadline = deadline();
    static INDEX: LazyLock<NotifierIndex> = LazyLock::new(NotifierIndex::new);
    static RESULTS: LazyLock<Mailbox<[Option<BeginError>; 2]>> = LazyLock::new(|| Mailbox::new(1));
    struct AtExit(Ops<()>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let index = &*INDEX;
            let registration = index.insert(&self.0, Interval::point(7), ()).unwrap();
            let others = registration.read_begin_timeout(Interval::point(7), MOMENT).err();
            let section = index.invalidate(Interval::point(7), EVENT);
            let own = registration.read_begin(Interval::point(7)).err();
            drop(section);
            RESULTS.post([others, own]);
        }
    }
    thread_local! {
        static AT_EXIT: std::cell::RefCell<Option<AtExit>> = const { std::cell::RefCell::new(None) };
    }
    // Made before the threads are, as above.
    LazyLock::force(&RESULTS);
    let ops = INDEX.register_passive_ops();
    let begin = move || AT_EXIT.set(Some(AtExit(ops)));
    std::thread::spawn(begin).join().unwrap();
    assert_eq!(RESULTS.take(PATIENCE), Some([None, Some(BeginError::WouldDeadlock)]));
    // Another thread's section, begun in such a destructor or not, is waited for.
    let section = INDEX.invalidate(Interval::point(7), EVENT);
    std::thread::spawn(begin).join().unwrap();
    drop(section);
    assert_eq!(RESULTS.take(PATIENCE), Some([Some(BeginError::TimedOut), Some(BeginError::WouldDeadlock)]));
}
