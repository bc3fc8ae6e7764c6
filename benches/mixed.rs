//! Look-ups on one thread while another updates without pause: two threads, the three ways of reading beside the
//! locked baseline. The figure is the time of one look-up.

mod sets;

use std::sync::atomic::{AtomicBool, Ordering};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use notifier_index::Interval;
use sets::{Locked, Ours, Round, SHAPES, SIZES, Set, interval, settings};
use stress::cli::Named;
use stress::span::Span;
use stress::workload::FIRST_OWNER;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Runs `measure` while another thread repeats `change`.
fn beside(change: impl FnMut() + Send, measure: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut change = change;
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                change();
            }
        });
        measure();
        done.store(true, Ordering::Relaxed);
    });
}

fn index(group: &mut Group<'_>, set: &mut Set) {
    let (moves, queries, ours) = (set.moves(), set.queries(), Ours::new(set));
    let ops = &ours.ops;
    let update = || {
        let mut round = Round::new(&moves);
        let ours = &ours;
        move || {
            let (at, to) = *round.next();
            ours.registrations[at].update(interval(to)).expect("within the retired limit");
        }
    };
    let mut round = Round::new(&queries);
    let mut reader = ours.index.reader();
    beside(update(), || {
        group.bench_function("reader", |bench| {
            bench.iter(|| reader.find(ops, *round.next()).map(|hit| *hit.payload()));
        });
    });
    drop(reader);
    beside(update(), || {
        group.bench_function("guard", |bench| {
            bench.iter(|| ours.index.pin().find(ops, *round.next()).map(|hit| *hit.payload()));
        });
    });
    beside(update(), || {
        group.bench_function("snapshot", |bench| {
            bench.iter(|| ours.index.snapshot().find(ops, *round.next()).map(|hit| *hit.payload()));
        });
    });
}

fn locked(group: &mut Group<'_>, set: &mut Set) {
    let (moves, queries, locked) = (set.moves(), set.queries(), Locked::new(set));
    let (index, mut registrations) = (&locked.index, locked.registrations);
    let mut round = Round::new(&moves);
    let update = move || {
        let (at, to) = *round.next();
        index.update(&mut registrations[at], to);
    };
    let span = |query: &Interval| Span::between(query.start(), query.last());
    let mut round = Round::new(&queries);
    beside(update, || {
        group.bench_function("locked", |bench| {
            bench.iter(|| index.find(FIRST_OWNER, span(round.next())));
        });
    });
}

fn main() {
    let mut criterion: Criterion = settings();
    for shape in SHAPES {
        for size in SIZES {
            let mut set = Set::new(shape, size);
            let mut group = criterion.benchmark_group(format!("mixed/{}/{size}", shape.name()));
            index(&mut group, &mut set);
            locked(&mut group, &mut set);
            group.finish();
        }
    }
    criterion.final_summary();
}
