//! Look-ups on one thread, with nothing else going on: the three ways of reading beside the locked baseline.

mod sets;

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use notifier_index::Interval;
use sets::{Locked, Ours, Round, SHAPES, SIZES, Set, settings};
use stress::cli::Named;
use stress::span::Span;
use stress::workload::FIRST_OWNER;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Queries of one `find_many`.
const MANY: usize = 64;

fn span(interval: Interval) -> Span {
    Span::between(interval.start(), interval.last())
}

fn find_one(group: &mut Group<'_>, ours: &Ours, locked: &Locked, queries: &[Interval]) {
    let (ops, mut reader, snapshot) = (&ours.ops, ours.index.reader(), ours.index.snapshot());
    let mut round = Round::new(queries);
    group.bench_function("reader", |bench| {
        bench.iter(|| reader.find(ops, *round.next()).map(|hit| *hit.payload()));
    });
    group.bench_function("guard", |bench| {
        bench.iter(|| ours.index.pin().find(ops, *round.next()).map(|hit| *hit.payload()));
    });
    group.bench_function("snapshot", |bench| {
        bench.iter(|| snapshot.find(ops, *round.next()).map(|hit| *hit.payload()));
    });
    group.bench_function("locked", |bench| {
        bench.iter(|| locked.index.find(FIRST_OWNER, span(*round.next())));
    });
}

fn find_all(group: &mut Group<'_>, ours: &Ours, locked: &Locked, queries: &[Interval]) {
    // From each address about four windows on: a few hits.
    let wider = |query: &Interval| Interval::from_start_len(query.start(), 160 << 10).unwrap_or(*query);
    let queries: Vec<Interval> = queries.iter().map(wider).collect();
    let (ops, mut reader) = (&ours.ops, ours.index.reader());
    let mut round = Round::new(&queries);
    group.bench_function("reader", |bench| {
        bench.iter(|| reader.find_all(ops, *round.next()).map(|hit| *hit.payload()).sum::<u64>());
    });
    let mut found = Vec::with_capacity(1024);
    group.bench_function("locked", |bench| {
        bench.iter(|| {
            found.clear();
            locked.index.find_all(FIRST_OWNER, span(*round.next()), &mut found)
        });
    });
}

fn find_many(group: &mut Group<'_>, ours: &Ours, locked: &Locked, queries: &[Interval]) {
    group.throughput(Throughput::Elements(MANY as u64));
    let snapshot = ours.index.snapshot();
    let chunks: Vec<&[Interval]> = queries.chunks_exact(MANY).collect();
    let mut round = Round::new(&chunks);
    let mut hits = [None; MANY];
    group.bench_function("snapshot", |bench| {
        bench.iter(|| {
            snapshot.find_many(&ours.ops, round.next(), &mut hits).unwrap();
            black_box(&hits);
        });
    });
    group.bench_function("snapshot, one by one", |bench| {
        bench.iter(|| {
            for query in *round.next() {
                black_box(snapshot.find(&ours.ops, *query));
            }
        });
    });
    group.bench_function("locked, one by one", |bench| {
        bench.iter(|| {
            for query in *round.next() {
                black_box(locked.index.find(FIRST_OWNER, span(*query)));
            }
        });
    });
}

fn main() {
    let mut criterion: Criterion = settings();
    for shape in SHAPES {
        for size in SIZES {
            let mut set = Set::new(shape, size);
            let (queries, misses) = (set.queries(), set.misses());
            let (ours, locked) = (Ours::new(&set), Locked::new(&set));
            let mut group =
                |what: &str, bench: fn(&mut Group<'_>, &Ours, &Locked, &[Interval]), queries: &[Interval]| {
                    let mut group = criterion.benchmark_group(format!("{what}/{}/{size}", shape.name()));
                    bench(&mut group, &ours, &locked, queries);
                    group.finish();
                };
            group("find", find_one, &queries);
            group("miss", find_one, &misses);
            group("find_all", find_all, &queries);
            group("find_many", find_many, &queries);
        }
    }
    criterion.final_summary();
}
