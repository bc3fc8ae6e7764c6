//! Children of `fork`, beside threads that pin, hold, write and invalidate: nothing hangs, nothing inherited is changed,
//! and an index of their own works in full.
//!
//! A child has one thread and may not unwind into the harness: it counts its steps, and the number of the one that failed
//! is what it ends with. One that hangs is ended by its alarm.

#![cfg(all(unix, not(any(loom, shuttle))))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use notifier_index::{
    BatchError, BeginError, CloseError, Event, InsertError, Interval, Invalidating, Notifier, NotifierIndex, Ops,
    Reader, Reason, Refused, Registration, RemoveError, Snapshot, TryInvalidateError, UpdateError, WaitError,
    WouldBlock,
};

const FORKS: usize = 200;
/// Children that fail before no further one is tried.
const ENOUGH: usize = 5;
/// What a child is given before it counts as hung.
const SECONDS: u32 = 20;
const EVENT: Event = Event::new(Reason::Unmap);

struct Told(&'static AtomicU64);

impl Notifier for Told {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::Relaxed);
    }
}

static CALLS: AtomicU64 = AtomicU64::new(0);
static DROPS: AtomicU64 = AtomicU64::new(0);

fn between(start: u64, last: u64) -> Interval {
    Interval::new(start, last).unwrap()
}

/// The steps of a child, so that the one that fails can be named by a number.
struct Steps(i32);

impl Steps {
    fn check(&mut self, is_right: bool) {
        self.0 += 1;
        if !is_right {
            // SAFETY: ends the process.
            unsafe { libc::_exit(self.0) };
        }
    }
}

/// Runs `child` in a child of this process; how it ended: 0, the number of a step, or 1000 and the signal.
fn in_a_child(child: impl FnOnce(&mut Steps)) -> i32 {
    // SAFETY: the child runs `child` and ends; it returns to nobody.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no process was to be had");
    if pid == 0 {
        // SAFETY: its default action ends the child.
        unsafe { libc::alarm(SECONDS) };
        let mut steps = Steps(0);
        let ended = catch_unwind(AssertUnwindSafe(|| child(&mut steps)));
        let code = if ended.is_ok() { 0 } else { 200 + steps.0.min(50) };
        // SAFETY: ends the process, without the destructors of threads that are not there.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 1000 + libc::WTERMSIG(status) }
}

/// What the forking thread has when it forks, and the child with it.
struct Inherited {
    index: NotifierIndex,
    ops: Ops<Told>,
    registration: Registration<Told>,
    reader: Reader,
    snapshot: Snapshot,
}

impl Inherited {
    fn of(index: &NotifierIndex, ops: &Ops<Told>) -> Self {
        let registration = index.insert(ops, between(1 << 40, (1 << 40) + 9), Told(&CALLS)).unwrap();
        index.insert(ops, 1 << 41, Told(&CALLS)).unwrap().detach();
        let (reader, snapshot) = (index.reader(), index.snapshot());
        Inherited { index: index.clone(), ops: *ops, registration, reader, snapshot }
    }

    fn answers(&mut self, steps: &mut Steps) {
        steps.check(self.reader.find(&self.ops, 1 << 40).is_some());
        steps.check(self.snapshot.find(&self.ops, 1 << 40).is_some());
        let guard = self.index.pin();
        let hit = guard.find(&self.ops, 1 << 41);
        steps.check(hit.is_some_and(|hit| hit.claim().is_none()));
        steps.check(hit.is_some_and(|hit| hit.hold().is_live()));
        steps.check(guard.snapshot().view().len() > 1 && !self.index.is_empty());
        steps.check(self.index.snapshot().is_current() && self.index.version() > 0);
        steps.check(self.index.reader().find(&self.ops, 1 << 40).is_some());
        steps.check(self.index.stats().live_notifiers > 1);
    }

    fn refuses(&mut self, steps: &mut Steps) {
        let (index, registration) = (&self.index, &self.registration);
        let inserted = index.insert(&self.ops, 5, Told(&CALLS));
        steps.check(matches!(inserted, Err(Refused { reason: InsertError::Forked, .. })));
        let many = index.insert_many(&self.ops, vec![(Interval::point(5), Told(&CALLS))]);
        steps.check(many.is_err_and(|error| error.reason == InsertError::Forked && error.value.count() == 1));
        let made = index.find_or_insert_with(&self.ops, 7 << 50, || Told(&CALLS));
        steps.check(matches!(made, Err(Refused { reason: InsertError::Forked, value: Some(_), .. })));
        steps.check(registration.update(3) == Err(UpdateError::Forked));
        let mut batch = index.batch();
        steps.check(batch.remove(registration).is_ok());
        steps.check(batch.commit().is_err_and(|error| error.reason == BatchError::Forked));
        steps.check(index.clear(&self.ops) == Err(BatchError::Forked));
        steps.check(index.close() == Err(CloseError::Forked));
        steps.check(index.barrier() == Err(WaitError::Forked));
        steps.check(matches!(index.try_invalidate(Interval::FULL, EVENT), Err(TryInvalidateError::Forked)));
        let calls = CALLS.load(Ordering::Relaxed);
        drop(index.invalidate(Interval::FULL, EVENT));
        steps.check(CALLS.load(Ordering::Relaxed) == calls);
        steps.check(registration.read_begin(1 << 40).is_err_and(|error| error == BeginError::Forked));
        index.maintain();
        steps.check(registration.is_live());
    }

    /// Lets go of all that was inherited: no destructor of a payload runs, and nothing hangs.
    fn goes(self, steps: &mut Steps) {
        let Inherited { index, registration, reader, snapshot, .. } = self;
        let drops = DROPS.load(Ordering::Relaxed);
        let held = registration.hold();
        let refused = registration.remove();
        steps.check(matches!(refused, Err(Refused { reason: RemoveError::Forked, .. })));
        drop(refused);
        drop((held, reader, snapshot, index));
        steps.check(DROPS.load(Ordering::Relaxed) == drops);
    }
}

/// An index made here, with threads of its own, that finds, changes, tells, waits and reclaims.
fn works_in_full(steps: &mut Steps) {
    let index = NotifierIndex::new();
    let ops = index.register_ops::<Told>();
    let registration = index.insert(&ops, between(0, 9), Told(&CALLS)).unwrap();
    let (calls, drops) = (CALLS.load(Ordering::Relaxed), DROPS.load(Ordering::Relaxed));
    drop(index.invalidate(5, EVENT));
    steps.check(CALLS.load(Ordering::Relaxed) == calls + 1);
    let ticket = registration.read_begin(5).unwrap();
    steps.check(!registration.read_retry(ticket));
    std::thread::scope(|scope| {
        let write = || (0..500).for_each(|at| drop(index.insert(&ops, 1000 + at, Told(&CALLS)).unwrap()));
        let look = || (0..2000).for_each(|_| assert!(index.pin().find(&ops, 5).is_some()));
        let threads = [scope.spawn(write), scope.spawn(look), scope.spawn(write)];
        let all_ended = threads.into_iter().all(|thread| thread.join().is_ok());
        steps.check(all_ended);
    });
    steps.check(index.barrier() == Ok(()));
    steps.check(registration.remove().is_ok());
    for _ in 0..3 {
        index.maintain();
    }
    steps.check(index.stats().retired_objects == 0);
    steps.check(DROPS.load(Ordering::Relaxed) == drops + 1001);
}

/// What goes on in the parent while it forks.
fn beside(index: &NotifierIndex, ops: &Ops<Told>, is_over: &AtomicBool, kind: usize) {
    let mine = between(kind as u64 * 100, kind as u64 * 100 + 9);
    let registration = index.insert(ops, mine, Told(&CALLS)).unwrap();
    while !is_over.load(Ordering::Relaxed) {
        match kind {
            0 => assert!(index.pin().find(ops, mine).is_some()),
            1 => assert!(index.pin().find(ops, mine).unwrap().hold().is_live()),
            2 => assert!(registration.update(mine).is_ok()),
            3 => drop(index.insert(ops, mine, Told(&CALLS)).unwrap()),
            4 => drop(index.invalidate(Interval::FULL, EVENT)),
            _ => drop(registration.read_begin_timeout(mine, Duration::from_millis(1))),
        }
    }
}

#[test]
fn a_child_of_fork_is_refused_not_hung() {
    #[cfg(busted)]
    if let Ok(name) = std::env::var("BUSTED") {
        notifier_index::busted::set(&name).expect("a sabotage that is known");
    }
    let index = NotifierIndex::new();
    let ops = index.register_ops::<Told>();
    let is_over = AtomicBool::new(false);
    let mut ends = Vec::new();
    std::thread::scope(|scope| {
        for kind in 0..6 {
            let (index, ops, is_over) = (&index, &ops, &is_over);
            scope.spawn(move || beside(index, ops, is_over, kind));
        }
        for turn in 0..FORKS {
            ends.push(one_fork(&index, &ops, turn));
            if ends.iter().filter(|end| **end != 0).count() == ENOUGH {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let failed: Vec<_> = ends.iter().filter(|end| **end != 0).collect();
    assert!(failed.is_empty(), "{} of {FORKS} children failed, by step or 1000 + signal: {failed:?}", failed.len());
    index.barrier().unwrap();
    assert!(index.stats().retired_bytes < 1 << 20, "the parent goes on as before");
}

/// One child; every fourth also has a child itself, and every second was forked under a guard and inside a section.
fn one_fork(index: &NotifierIndex, ops: &Ops<Told>, turn: usize) -> i32 {
    let mut inherited = Inherited::of(index, ops);
    let held = (turn % 2 == 1).then(|| (index.pin(), index.invalidate(between(1 << 42, 1 << 43), EVENT)));
    let end = in_a_child(|steps| {
        inherited.answers(steps);
        inherited.refuses(steps);
        works_in_full(steps);
        if let Some((guard, section)) = held {
            steps.check(guard.find(ops, 1 << 40).is_some());
            drop((guard, section));
        }
        if turn.is_multiple_of(4) {
            let child = in_a_child(works_in_full);
            steps.check(child == 0);
        }
        inherited.goes(steps);
        works_in_full(steps);
    });
    // What was detached for the child goes here; the rest has gone with the closure.
    drop(index.pin().find(ops, 1 << 41).and_then(|hit| hit.claim()));
    end
}
