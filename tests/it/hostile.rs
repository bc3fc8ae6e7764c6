//! Users that behave badly: callbacks that block while others go on, destructors that panic in whatever operation runs
//! them, destructors and closures that call back, handles that are forgotten.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use notifier_index::{
    BeginError, Event, FoundOrInserted, Interval, Invalidating, Notifier, NotifierIndex, Ops, Reason, Registration,
    WaitError, WouldBlock,
};
use parking_lot::Mutex;

use crate::canary::Canary;
use crate::forget::forget;
use crate::scope::scope;
use crate::turn::{alone, maintain_alone, together};
use crate::ways::{Eyes, between};

const UPDATES: u64 = 100_000;
/// Enough that what one grace period leaves behind is small beside the tree.
const NOTIFIERS: u64 = 60_000;
const BLOCKED_AT_LEAST: Duration = Duration::from_secs(1);
const UNMAP: Event = Event::new(Reason::Unmap);

/// How far the callback has come.
#[derive(Default)]
struct Stage {
    entered: AtomicBool,
    may_leave: AtomicBool,
}

/// A notifier whose callback blocks until it is let go; it may keep a pin meanwhile, against all advice.
struct Blocker {
    stage: Arc<Stage>,
    index: Weak<NotifierIndex>,
    pins: bool,
}

impl Notifier for Blocker {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        let index = self.index.upgrade();
        let _pin = index.as_ref().filter(|_| self.pins).map(|index| index.pin());
        self.stage.entered.store(true, Ordering::SeqCst);
        while !self.stage.may_leave.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Lets the callback go, whatever becomes of the test.
struct LetGo<'s>(&'s Stage);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.may_leave.store(true, Ordering::SeqCst);
    }
}

/// Moves notifiers all over the tree; the most bytes that were retired, as seen every now and then.
fn update_all_over(index: &NotifierIndex, all: &[Registration<Canary>], count: u64) -> u64 {
    let mut most = 0;
    for step in 0..count {
        let at = step.wrapping_mul(0x9e37_79b9) % all.len() as u64;
        all[at as usize].update(between(at * 16, at * 16 + step % 8)).unwrap();
        if step % 64 == 0 {
            most = most.max(index.stats().retired_bytes);
        }
    }
    most
}

/// Updates while a callback blocks: the most bytes that were retired, and the bytes of the tree.
fn update_beside_a_blocked_callback(updates: u64, blocked_at_least: Duration, pins: bool) -> (u64, u64) {
    let index = Arc::new(NotifierIndex::new());
    let (ops, blockers) = (index.register_passive_ops(), index.register_ops());
    let items = (0..NOTIFIERS).map(|id| (Interval::point(id * 16), Canary::new(id)));
    let all = index.insert_many(&ops, items).unwrap();
    let stage = Arc::new(Stage::default());
    let blocker = Blocker { stage: Arc::clone(&stage), index: Arc::downgrade(&index), pins };
    let _blocker = index.insert(&blockers, Interval::FULL, blocker).unwrap();
    maintain_alone(&index);
    let tree_bytes = index.stats().node_bytes;
    let most = scope(|scope| {
        let _let_go = LetGo(&stage);
        scope.spawn(|| drop(index.invalidate(Interval::point(u64::MAX), UNMAP)));
        while !stage.entered.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        let mut most = update_all_over(&index, &all, updates);
        while begun.elapsed() < blocked_at_least {
            most = most.max(update_all_over(&index, &all, 64));
        }
        assert!(!stage.may_leave.load(Ordering::SeqCst) && index.stats().sections_active == 1);
        most
    });
    maintain_alone(&index);
    assert_eq!((index.stats().sections_active, index.stats().retired_bytes), (0, 0));
    (most, tree_bytes)
}

#[test]
fn a_hundred_thousand_updates_pass_a_blocked_callback_in_bounded_memory() {
    let _turn = alone();
    let (most, tree_bytes) = update_beside_a_blocked_callback(UPDATES, BLOCKED_AT_LEAST, false);
    println!("{most} bytes retired at most beside a tree of {tree_bytes} bytes");
    assert!(most as f64 <= 1.2 * tree_bytes as f64, "{most} of {tree_bytes}");
}

/// The bound above can be broken: by a callback that keeps a pin.
#[test]
fn a_blocked_callback_with_a_pin_would_hold_back_more_than_the_tree() {
    let _turn = alone();
    let (most, tree_bytes) = update_beside_a_blocked_callback(UPDATES / 5, Duration::ZERO, true);
    assert!(most > 2 * tree_bytes, "{most} of {tree_bytes}");
}

/// A payload that panics when it is dropped, if it is told to.
struct Explosive(#[expect(dead_code, reason = "dropped with it, and counts that")] Canary, bool);

impl Drop for Explosive {
    fn drop(&mut self) {
        assert!(!self.1 || std::thread::panicking(), "as it was told");
    }
}

/// An index in which the next change drops a payload that panics.
struct Mined {
    index: NotifierIndex,
    ops: Ops<Explosive>,
    standing: Option<Registration<Explosive>>,
    drops: Arc<AtomicUsize>,
}

impl Mined {
    fn new() -> Self {
        let (index, drops) = (NotifierIndex::new(), Arc::default());
        let ops = index.register_passive_ops();
        let mut mined = Mined { index, ops, standing: None, drops };
        mined.standing = Some(mined.index.insert(&ops, Interval::point(100), mined.payload(false)).unwrap());
        let mine = mined.index.insert(&ops, Interval::point(200), mined.payload(true)).unwrap();
        let held = mine.hold();
        mine.remove().unwrap();
        maintain_alone(&mined.index);
        // The last hold leaves the drop to the next change.
        drop(held);
        assert_eq!(mined.drops.load(Ordering::SeqCst), 0);
        mined
    }

    fn payload(&self, explodes: bool) -> Explosive {
        Explosive(Canary::counted(0, &self.drops), explodes)
    }
}

/// What runs destructors, by name, and how many notifiers are left and payloads dropped when one has panicked in it.
type Operation = fn(&mut Mined);
const OPERATIONS: [(&str, Operation, usize, usize); 7] = [
    ("insert", |mined| drop(mined.index.insert(&mined.ops, Interval::point(1), mined.payload(false))), 1, 2),
    (
        "insert_many",
        |mined| {
            let items = vec![(Interval::point(1), mined.payload(false)), (Interval::point(2), mined.payload(false))];
            drop(mined.index.insert_many(&mined.ops, items));
        },
        1,
        3,
    ),
    (
        "find_or_insert_with",
        |mined| drop(mined.index.find_or_insert_with(&mined.ops, Interval::point(1), || mined.payload(false))),
        1,
        1,
    ),
    ("remove", |mined| drop(mined.standing.take().unwrap().remove()), 0, 1),
    (
        "commit",
        |mined| {
            let mut batch = mined.index.batch();
            let _ = batch.insert(&mined.ops, Interval::point(1), mined.payload(false)).unwrap();
            drop(batch.commit());
        },
        1,
        2,
    ),
    ("maintain", |mined| mined.index.maintain(), 1, 1),
    ("barrier", |mined| mined.index.barrier().unwrap(), 1, 1),
];

#[test]
fn a_panicking_drop_goes_through_whatever_runs_it_and_loses_nothing() {
    let _turn = alone();
    for (name, operation, left, dropped) in OPERATIONS {
        let mut mined = Mined::new();
        let result = catch_unwind(AssertUnwindSafe(|| operation(&mut mined)));
        assert!(result.is_err(), "{name} runs no destructor");
        assert_eq!((mined.index.len(), mined.drops.load(Ordering::SeqCst)), (left, dropped), "{name}");
        Eyes::new(&mined.index).look_each(|_, view| assert_eq!((view.check(), view.len()), (Ok(()), left), "{name}"));
        let after = mined.index.insert(&mined.ops, Interval::point(1), mined.payload(false)).unwrap();
        after.update(Interval::point(3)).unwrap();
        after.remove().unwrap();
        drop(mined.standing.take());
        maintain_alone(&mined.index);
        let stats = mined.index.stats();
        assert_eq!((mined.index.len(), stats.retired_objects, stats.live_nodes), (0, 0, 0), "{name}");
        assert_eq!(mined.drops.load(Ordering::SeqCst), dropped + 2, "{name}");
    }
}

#[test]
fn a_panic_while_a_payload_is_made_leaves_nothing() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops::<Canary>();
    let made = || -> Canary { panic!("planted") };
    assert!(catch_unwind(AssertUnwindSafe(|| drop(index.find_or_insert_with(&ops, Interval::FULL, made)))).is_err());
    assert_eq!((index.len(), index.version()), (0, 0));
    let one = index.find_or_insert_with(&ops, Interval::FULL, || Canary::new(1)).unwrap();
    assert!(matches!(one, FoundOrInserted::Inserted(_)));
}

/// Whoever makes a payload may register another one in the same window: that is found then, and one stands.
#[test]
fn a_payload_that_registers_another_while_it_is_made_loses_to_it() {
    let _turn = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let mut inner = None;
    let make = || {
        inner = Some(index.insert(&ops, Interval::point(5), Canary::new(5)).unwrap());
        Canary::counted(6, &drops)
    };
    let Ok(FoundOrInserted::Found(found)) = index.find_or_insert_with(&ops, between(0, 9), make) else {
        panic!("two stand in one window");
    };
    assert_eq!((found.id(), index.len(), drops.load(Ordering::Relaxed)), (5, 1, 1));
}

/// A payload whose drop does all that may wait, and a removal of another that waits for it.
struct Waiting {
    index: Arc<NotifierIndex>,
    others: Ops<Canary>,
    log: Arc<Mutex<Vec<Result<(), WaitError>>>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let barrier = self.index.barrier();
        let other = self.index.insert(&self.others, between(0, 9), Canary::new(1)).unwrap();
        let ticket = other.read_begin(between(0, 9));
        drop(self.index.invalidate(between(5, 5), UNMAP));
        assert!(ticket.is_ok_and(|ticket| other.read_retry(ticket)));
        let removal = other.remove_deferred().unwrap();
        assert_eq!(removal.wait(), Ok(()));
        self.log.lock().push(barrier);
    }
}

#[test]
fn a_drop_may_wait_and_in_a_callback_a_barrier_is_refused() {
    let _turn = alone();
    struct Changing(Weak<NotifierIndex>, Ops<Canary>);
    impl Notifier for Changing {
        fn invalidate(&self, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
            if let Some(index) = self.0.upgrade().filter(|_| told.reason() == Reason::Clear) {
                drop(index.insert(&self.1, Interval::point(1000), Canary::new(2)).unwrap());
            }
            Ok(())
        }
    }
    let index = Arc::new(NotifierIndex::new());
    let (others, waiting) = (index.register_passive_ops(), index.register_passive_ops());
    let changing = index.register_ops();
    let log = Arc::<Mutex<Vec<_>>>::default();
    let _changing = index.insert(&changing, Interval::point(2000), Changing(Arc::downgrade(&index), others)).unwrap();
    for in_a_callback in [false, true] {
        let payload = Waiting { index: Arc::clone(&index), others, log: Arc::clone(&log) };
        let registration = index.insert(&waiting, Interval::point(50), payload).unwrap();
        let held = registration.hold();
        registration.remove().unwrap();
        maintain_alone(&index);
        drop(held);
        match in_a_callback {
            true => drop(index.invalidate(Interval::point(2000), Event::new(Reason::Clear))),
            false => index.maintain(),
        }
    }
    assert_eq!(*log.lock(), [Ok(()), Err(WaitError::WouldDeadlock)]);
    maintain_alone(&index);
    assert_eq!((index.len(), Arc::strong_count(&index)), (1, 1));
}

#[test]
fn forgotten_removals_tickets_and_sections_stop_only_who_waits_for_them() {
    let _turn = alone();
    let (drops, patience) = (Arc::new(AtomicUsize::new(0)), Duration::from_millis(20));
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let all: Vec<_> =
        (0..20).map(|id| index.insert(&ops, Interval::point(id), Canary::counted(id, &drops)).unwrap()).collect();
    forget(all[3].read_begin(Interval::point(3)).unwrap());
    // By another thread: who forgets his own is told so.
    scope(|scope| scope.spawn(|| forget(index.invalidate(between(5, 6), UNMAP))).join()).unwrap();
    assert_eq!(all[5].read_begin_timeout(Interval::point(5), patience).unwrap_err(), BeginError::TimedOut);
    assert!(!all[4].read_retry(all[4].read_begin_timeout(Interval::point(4), patience).unwrap()));
    assert_eq!(index.barrier(), Ok(()));
    for registration in all {
        forget(registration.remove_deferred().unwrap());
    }
    assert_eq!((index.len(), index.stats().sections_active), (0, 1));
    maintain_alone(&index);
    // A removal holds its notifier, and these are held for ever.
    assert_eq!((index.barrier(), drops.load(Ordering::Relaxed)), (Ok(()), 0));
    index.insert(&ops, between(0, 9), Canary::new(50)).unwrap().remove().unwrap();
}
