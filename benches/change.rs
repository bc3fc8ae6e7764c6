//! Changes on one thread, beside the locked baseline: insert and remove, update, a batch of 64, many at once.

mod sets;

use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use sets::{Locked, Ours, Round, SHAPES, SIZES, Set, interval, settings};
use stress::cli::Named;
use stress::contender::locked::{LockedChange, LockedRegistration};
use stress::workload::FIRST_OWNER;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Changes of one batch.
const BATCH: usize = 64;

/// The name of notifiers that come and go.
const PASSING: u64 = u64::MAX;

fn insert_and_remove(group: &mut Group<'_>, set: &mut Set) {
    let moves = set.moves();
    let mut round = Round::new(&moves);
    let ours = Ours::new(set);
    group.bench_function("index", |bench| {
        bench.iter(|| ours.index.insert(&ours.ops, interval(round.next().1), PASSING).unwrap().remove().unwrap());
    });
    drop(ours);
    let locked = Locked::new(set);
    group.bench_function("locked", |bench| {
        bench.iter(|| {
            let (registration, _) = locked.index.insert(FIRST_OWNER, round.next().1, PASSING);
            locked.index.remove(registration)
        });
    });
}

fn update(group: &mut Group<'_>, set: &mut Set) {
    let moves = set.moves();
    let mut round = Round::new(&moves);
    let ours = Ours::new(set);
    group.bench_function("index", |bench| {
        bench.iter(|| {
            let (at, to) = *round.next();
            ours.registrations[at].update(interval(to)).unwrap()
        });
    });
    drop(ours);
    let mut locked = Locked::new(set);
    group.bench_function("locked", |bench| {
        bench.iter(|| {
            let (at, to) = *round.next();
            locked.index.update(&mut locked.registrations[at], to)
        });
    });
}

/// Neighbours move together, as the pieces of one mapping do.
fn batch_of_64(group: &mut Group<'_>, set: &mut Set) {
    group.throughput(Throughput::Elements(BATCH as u64));
    set.content.sort_by_key(|found| found.span.start());
    let moved = set.content[..BATCH].to_vec();
    let mut bounds = |_| moved.iter().map(|found| set.workload.bounds(found.id, &mut set.draws)).collect::<Vec<_>>();
    let moves: Vec<_> = (0..64).map(&mut bounds).collect();
    let mut round = Round::new(&moves);
    let ours = Ours::new(set);
    group.bench_function("index", |bench| {
        bench.iter(|| {
            let mut batch = ours.index.batch();
            for (registration, to) in ours.registrations.iter().zip(round.next()) {
                batch.update(registration, interval(*to)).unwrap();
            }
            batch.commit().unwrap().version()
        });
    });
    drop(ours);
    let mut locked = Locked::new(set);
    group.bench_function("locked", |bench| {
        bench.iter(|| {
            let update = |(registration, span): (_, &_)| LockedChange::Update { registration, span: *span };
            let registrations: &mut [LockedRegistration] = &mut locked.registrations[..BATCH];
            let mut changes: Vec<_> = registrations.iter_mut().zip(round.next()).map(update).collect();
            locked.index.batch(&mut changes)
        });
    });
}

/// A whole set into an empty index, and out again when it is dropped (which is not measured).
fn insert_many(group: &mut Group<'_>, set: &mut Set) {
    group.throughput(Throughput::Elements(set.content.len() as u64));
    group.bench_function("index", |bench| {
        bench.iter_batched(|| (), |()| Ours::new(set), BatchSize::PerIteration);
    });
    group.bench_function("locked, one by one", |bench| {
        bench.iter_batched(|| (), |()| Locked::new(set), BatchSize::PerIteration);
    });
}

fn main() {
    let mut criterion: Criterion = settings();
    for shape in SHAPES {
        for size in SIZES {
            let mut set = Set::new(shape, size);
            let mut group = |what: &str, bench: fn(&mut Group<'_>, &mut Set)| {
                let mut group = criterion.benchmark_group(format!("{what}/{}/{size}", shape.name()));
                bench(&mut group, &mut set);
                group.finish();
            };
            group("insert_and_remove", insert_and_remove);
            group("update", update);
            group("batch_of_64", batch_of_64);
            group("insert_many", insert_many);
        }
    }
    criterion.final_summary();
}
