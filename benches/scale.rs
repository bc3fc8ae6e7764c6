//! The write side with many threads: updates beside threads that sleep and on many threads at once, holds on two threads,
//! large batches beside single changes, and the longest single call after much has been let go; as one table, each row
//! with what it is to be.
//!
//! Rates of several threads at once, and longest calls, are not what Criterion measures: each figure here is the median of
//! some rounds, and the rows that are compared take turns, so that a change of the machine's pace meets all of them.

mod sets;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use notifier_index::{Interval, NotifierIndex, Ops, Registration};
use sets::Set;
use stress::cli::Shape;

/// Notifiers of most rows.
const NOTIFIER_COUNT: u64 = 10_000;
const WINDOW: u64 = 16;
/// Single changes of a large batch.
const BATCH: usize = 100_000;
/// Calls among which the longest is looked for.
const CALLS: usize = 10_000;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(300);

/// The index, filled with points in windows of their own.
struct Ours {
    index: NotifierIndex,
    ops: Ops<u64>,
    all: Vec<Registration<u64>>,
}

impl Ours {
    fn new(count: u64) -> Self {
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops();
        let items = (0..count).map(|at| (Interval::point(at * WINDOW), at));
        let all = index.insert_many(&ops, items).expect("memory");
        Ours { index, ops, all }
    }

    /// Moves one of every `threads`th notifier.
    fn update(&self, draw: u64, thread: u64, threads: u64) {
        let at = (draw % (self.all.len() as u64 / threads)) * threads + thread;
        let to = Interval::point(at * WINDOW + (draw >> 32) % WINDOW);
        self.all[at as usize].update(to).expect("nothing is held back");
    }
}

/// Marsaglia's xorshift.
fn next(draw: &mut u64) -> u64 {
    *draw ^= *draw << 13;
    *draw ^= *draw >> 7;
    *draw ^= *draw << 17;
    *draw >> 8
}

/// Calls a second, of so many threads together, for one round.
fn rate(threads: u64, call: impl Fn(u64, u64) + Sync) -> f64 {
    let (is_over, calls, all_there) = (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(threads as usize + 1));
    let mut begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (is_over, calls, all_there, call) = (&is_over, &calls, &all_there, &call);
            scope.spawn(move || {
                let (mut draw, mut count) = (0x9e37_79b9_7f4a_7c15 ^ thread, 0);
                all_there.wait();
                while !is_over.load(Ordering::Relaxed) {
                    call(next(&mut draw), thread);
                    count += 1;
                }
                calls.fetch_add(count, Ordering::Relaxed);
            });
        }
        all_there.wait();
        begun = Instant::now();
        std::thread::sleep(ROUND);
        is_over.store(true, Ordering::Relaxed);
    });
    calls.into_inner() as f64 / begun.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The medians of several rates that take turns.
fn rates<const N: usize>(of: [&dyn Fn() -> f64; N]) -> [f64; N] {
    let rounds: Vec<[f64; N]> = (0..ROUNDS).map(|_| of.map(|rate| rate())).collect();
    std::array::from_fn(|at| median(rounds.iter().map(|round| round[at]).collect()))
}

/// One line of the table.
fn row(what: &str, figure: &str, goal: &str) {
    println!("| {what:<66} | {figure:>26} | {goal:<26} |");
}

/// Threads that have used the index in every way, and then sleep until they are let go.
struct Sleepers<'s> {
    is_over: &'s AtomicBool,
    threads: Vec<std::thread::ScopedJoinHandle<'s, ()>>,
}

impl<'s> Sleepers<'s> {
    fn new<'e>(scope: &'s std::thread::Scope<'s, 'e>, ours: &'s Ours, count: usize, is_over: &'s AtomicBool) -> Self {
        let all_there = std::sync::Arc::new(Barrier::new(count + 1));
        let threads = (0..count as u64).map(|thread| {
            let all_there = std::sync::Arc::clone(&all_there);
            let sleeper = move || {
                ours.update(thread, 0, 1);
                let mut reader = ours.index.reader();
                let found = reader.find(&ours.ops, Interval::FULL).map(|hit| hit.hold().interval());
                let seen = (ours.index.snapshot().view().len(), ours.index.pin().view().len(), found);
                reader.rest();
                drop((seen, reader));
                all_there.wait();
                while !is_over.load(Ordering::Relaxed) {
                    std::thread::park();
                }
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, sleeper).expect("a thread")
        });
        let threads = threads.collect();
        all_there.wait();
        Sleepers { is_over, threads }
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.thread().unpark();
            thread.join().expect("it only slept");
        }
    }
}

fn beside_sleepers() {
    for count in [128, 1_024] {
        let (ours, fresh) = (Ours::new(NOTIFIER_COUNT), Ours::new(NOTIFIER_COUNT));
        let update = || rate(1, |draw, _| ours.update(draw, 0, 1));
        let update_fresh = || rate(1, |draw, _| fresh.update(draw, 0, 1));
        let before = median((0..ROUNDS).map(|_| update()).collect());
        let is_over = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let sleepers = Sleepers::new(scope, &ours, count, &is_over);
            let beside = median((0..ROUNDS).map(|_| update()).collect());
            sleepers.end();
            beside
        });
        let [after, elsewhere] = rates([&update, &update_fresh]);
        row(
            &format!("update beside {count} threads that sleep, time to alone"),
            &format!("{:.2} ({:.0} ns alone)", before / beside, 1e9 / before),
            "at most 1.1",
        );
        row(
            "after these have ended; to an index that they never saw",
            &format!("{:.2}; {:.2}", before / after, elsewhere / after),
            "at most 1.1",
        );
    }
}

fn updates_together() {
    let ours = Ours::new(NOTIFIER_COUNT);
    let of = |threads: u64| rate(threads, |draw, thread| ours.update(draw, thread, threads));
    let mut set = Set::new(Shape::Disjoint, NOTIFIER_COUNT as usize);
    let moves = set.moves();
    let locked = parking_lot::Mutex::new(sets::Locked::new(&set));
    let of_locked = |threads: u64| {
        rate(threads, |draw, _| {
            let (at, to) = moves[draw as usize % moves.len()];
            let sets::Locked { index, registrations } = &mut *locked.lock();
            index.update(&mut registrations[at], to);
        })
    };
    let [one, two, eight, many] = rates([&|| of(1), &|| of(2), &|| of(8), &|| of(64)]);
    let [locked_one, locked_two, locked_eight] = rates([&|| of_locked(1), &|| of_locked(2), &|| of_locked(8)]);
    row("updates on one thread, to the locked tree's", &ratio(one, locked_one), "at least 1.0");
    for (threads, rate) in [(2, two), (8, eight), (64, many)] {
        row(&format!("updates on {threads} threads together, to one"), &ratio(rate, one), "at least 0.9");
    }
    row(
        "the locked tree's on 2 and 8, to its own on one",
        &format!("{}, {}", ratio(locked_two, locked_one), ratio(locked_eight, locked_one)),
        "",
    );
    row(
        "races lost, announcements",
        &format!("{}, {}", ours.index.stats().lost_races, ours.index.stats().announcements),
        "",
    );
}

fn ratio(figure: f64, to: f64) -> String {
    format!("{:.2} ({:.2} M/s)", figure / to, figure / 1e6)
}

/// A cache that holds what it finds, each thread its own notifiers.
fn holds() {
    let ours = Ours::new(NOTIFIER_COUNT);
    let of = |threads: u64| {
        rate(threads, |draw, thread| {
            let at = (draw % (NOTIFIER_COUNT / threads)) * threads + thread;
            let guard = ours.index.pin();
            let held = guard.find(&ours.ops, at * WINDOW).map(|hit| hit.hold());
            assert!(held.is_some());
        })
    };
    let [one, two] = rates([&|| of(1), &|| of(2)]);
    row("find, hold, drop on 2 threads, different notifiers, to one", &ratio(two, one), "at least 1.9");
}

fn batches() {
    let ours = Ours::new(BATCH as u64);
    let commit = |round: u64| {
        let mut batch = ours.index.batch();
        for registration in &ours.all {
            batch
                .update(registration, Interval::point(*registration.payload() * WINDOW + round % WINDOW))
                .expect("memory");
        }
        let begun = Instant::now();
        let _ = batch.commit().expect("nothing is held back");
        begun.elapsed()
    };
    let mut alone: Vec<_> = (0..ROUNDS as u64).map(commit).collect();
    alone.sort_unstable();
    let (alone, is_over) = (alone[ROUNDS / 2], AtomicBool::new(false));
    let (longest, updates) = std::thread::scope(|scope| {
        let updaters: Vec<_> = (0..3)
            .map(|thread| {
                let (ours, is_over) = (&ours, &is_over);
                scope.spawn(move || {
                    let (mut draw, mut count) = (0x9e37_79b9_7f4a_7c15 ^ thread, 0_u64);
                    while !is_over.load(Ordering::Relaxed) {
                        ours.update(next(&mut draw), thread, 3);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let longest = (0..ROUNDS as u64).map(|round| commit(round + 7)).max().unwrap_or_default();
        is_over.store(true, Ordering::Relaxed);
        (longest, updaters.into_iter().map(|updater| updater.join().expect("it only updates")).sum::<u64>())
    });
    let limit = 4 * alone + Duration::from_millis(100);
    row(
        &format!("a batch of {BATCH} beside 3 threads of updates ({updates} of these)"),
        &format!("{longest:.1?} ({alone:.1?} alone)"),
        &format!("at most {limit:.1?}"),
    );
}

fn longest_of(ours: &Ours) -> (Duration, Duration) {
    let mut draw = 0x9e37_79b9_7f4a_7c15;
    let call = |_| {
        let begun = Instant::now();
        ours.update(next(&mut draw), 0, 1);
        begun.elapsed()
    };
    let mut all: Vec<Duration> = (0..CALLS).map(call).collect();
    all.sort_unstable();
    (all[CALLS - 1], all[CALLS - 1 - CALLS / 1_000])
}

fn longest_calls() {
    let mut ours = Ours::new(1_000_000);
    let rest = ours.all.split_off(NOTIFIER_COUNT as usize);
    let gone = ours.index.remove_many(rest);
    assert!(gone.is_ok());
    let (most, usual) = longest_of(&ours);
    row(
        "the longest update after a million removals in one batch; p99.9",
        &format!("{most:.0?}; {usual:.0?}"),
        "at most 1 ms",
    );
    let ours = Ours::new(1_000_000);
    let mut draw = 7;
    let snapshots: Vec<_> = (0..100)
        .map(|_| {
            (0..2_000).for_each(|_| ours.update(next(&mut draw), 0, 1));
            ours.index.snapshot()
        })
        .collect();
    snapshots.into_iter().for_each(drop);
    let (most, usual) = longest_of(&ours);
    row("the longest update after 100 snapshots have gone; p99.9", &format!("{most:.0?}; {usual:.0?}"), "at most 1 ms");
}

/// Beside comparing the two lists, which is what one would do otherwise.
fn changes() {
    const COUNT: u64 = 1_000_000;
    let ours = Ours::new(COUNT);
    for changed in [1, 100, 10_000] {
        let (before, mut draw) = (ours.index.snapshot(), changed);
        (0..changed).for_each(|_| ours.update(next(&mut draw), 0, 1));
        let after = ours.index.snapshot();
        let took = |call: &dyn Fn() -> usize| {
            let round = |_| {
                let begun = Instant::now();
                std::hint::black_box(call());
                begun.elapsed().as_secs_f64()
            };
            median((0..ROUNDS).map(round).collect()) * 1e6
        };
        let skipping = took(&|| before.changes_to(&after).map_or(0, Iterator::count));
        let lists =
            took(&|| before.view().iter().zip(after.view().iter()).filter(|(a, b)| a.start() != b.start()).count());
        row(
            &format!("changes_to after {changed} updates of {COUNT}; comparing two lists"),
            &format!("{skipping:.1} us; {lists:.0} us"),
            "",
        );
    }
}

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    row("what", "figure", "to be");
    println!("|{}|{}|{}|", "-".repeat(68), "-".repeat(28), "-".repeat(28));
    let parts: [(&str, fn()); 6] = [
        ("sleepers", beside_sleepers),
        ("together", updates_together),
        ("holds", holds),
        ("batches", batches),
        ("longest", longest_calls),
        ("changes", changes),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (_, part) in parts.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)) {
        part();
    }
}
