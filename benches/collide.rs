//! Collision-retry among 10,000 notifiers: `read_begin` and `read_retry` through each handle, beside a `Reader`'s find
//! and beside the kernel's semantics behind a mutex; with no section active, and with sections elsewhere that never pause.
//!
//! The kernel's `read_begin` waits until no section at all is active that hit anything. Under a storm elsewhere whose
//! sections overlap one another that may never be, so there it is not measured against the clock: how many calls are
//! done in a fixed time is counted and printed.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use notifier_index::{
    Event, Held, Interval, Invalidating, Notifier, NotifierIndex, Ops, Reason, Registration, WouldBlock,
};
use stress::contender::kernel::{
    KernelEvent, KernelNotifier, KernelNotifiers, KernelRange, KernelRegistration, KernelSequence,
};
use stress::span::Span;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

const NOTIFIER_COUNT: u64 = 10_000;
const WINDOW_BYTES: u64 = 0x4000;
/// Where the sections of the storm are: over one more notifier, beyond all that are read.
const STORM: (u64, u64) = (1 << 40, (1 << 40) + 0xfff);

/// How long fillers are watched under a storm.
const WATCHED: Duration = Duration::from_secs(1);
/// How long each section of the storm lasts.
const HELD_FOR: Duration = Duration::from_micros(500);

/// A notifier with nothing to tear down.
struct Quiet;

impl Notifier for Quiet {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        Ok(())
    }
}

impl KernelNotifier for Quiet {
    fn invalidate(&self, _: &KernelRange, sequence: KernelSequence<'_>) -> bool {
        sequence.set();
        true
    }
}

fn bounds() -> impl Iterator<Item = (u64, u64)> {
    let window = |at| (at * WINDOW_BYTES, at * WINDOW_BYTES + WINDOW_BYTES / 2 - 1);
    (0..NOTIFIER_COUNT).map(window).chain([STORM])
}

/// The notifiers that are read, in an order in which neighbours are far apart.
fn rounds() -> impl FnMut() -> usize {
    let mut at = 0;
    move || {
        at = (at + 7919) % NOTIFIER_COUNT;
        at as usize
    }
}

fn address(at: usize) -> u64 {
    at as u64 * WINDOW_BYTES + 0x100
}

struct Ours {
    index: NotifierIndex,
    ops: Ops<Quiet>,
    registrations: Vec<Registration<Quiet>>,
}

impl Ours {
    fn new() -> Self {
        let index = NotifierIndex::new();
        let ops = index.register_ops();
        let item = |(start, last)| (Interval::new(start, last).expect("not inverted"), Quiet);
        let registrations = index.insert_many(&ops, bounds().map(item)).expect("memory");
        Ours { index, ops, registrations }
    }

    fn section_elsewhere(&self) {
        let interval = Interval::new(STORM.0, STORM.1).expect("not inverted");
        drop(black_box(self.index.invalidate(interval, Event::new(Reason::Unmap))));
    }
}

struct Kernel {
    notifiers: KernelNotifiers<Quiet>,
    registrations: Vec<KernelRegistration<Quiet>>,
}

impl Kernel {
    fn new() -> Self {
        let notifiers = KernelNotifiers::new();
        let insert = |(start, last)| notifiers.insert(0, Span::between(start, last), Quiet);
        let registrations = bounds().map(insert).collect();
        Kernel { notifiers, registrations }
    }

    fn section_elsewhere(&self) {
        let section = self.notifiers.invalidate_start(Span::between(STORM.0, STORM.1), KernelEvent::Unmap);
        self.notifiers.invalidate_end(black_box(section));
    }

    fn begin_and_retry(&self, at: usize) -> bool {
        let subscription = self.registrations[at].subscription();
        let ticket = self.notifiers.read_begin(subscription);
        subscription.read_retry(ticket)
    }
}

/// Runs `work` while another thread repeats `disturb`.
fn beside<R>(disturb: impl Fn() + Send, work: impl FnOnce() -> R) -> R {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let is_over = &is_over;
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                disturb();
            }
        });
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

fn find(group: &mut Group<'_>, ours: &Ours) {
    let (mut reader, mut next) = (ours.index.reader(), rounds());
    group.bench_function("find", |bench| {
        bench.iter(|| {
            let at = Interval::point(address(next()));
            reader.find(&ours.ops, at).map(|hit| hit.start())
        });
    });
}

fn through_hit(group: &mut Group<'_>, ours: &Ours) {
    let (mut reader, mut next) = (ours.index.reader(), rounds());
    group.bench_function("find, begin, retry", |bench| {
        bench.iter(|| {
            let at = Interval::point(address(next()));
            let hit = reader.find(&ours.ops, at).expect("registered");
            let ticket = hit.read_begin(at).expect("covered");
            hit.read_retry(ticket)
        });
    });
}

fn through_handles(group: &mut Group<'_>, ours: &Ours) {
    let mut next = rounds();
    group.bench_function("begin, retry of a registration", |bench| {
        bench.iter(|| {
            let at = next();
            let ticket = ours.registrations[at].read_begin(Interval::point(address(at))).expect("covered");
            ours.registrations[at].read_retry(ticket)
        });
    });
    let held: Vec<Held<Quiet>> = ours.registrations.iter().map(Registration::hold).collect();
    group.bench_function("begin, retry of a hold", |bench| {
        bench.iter(|| {
            let at = next();
            let ticket = held[at].read_begin(Interval::point(address(at))).expect("covered");
            held[at].read_retry(ticket)
        });
    });
}

fn all_of_ours(group: &mut Group<'_>, ours: &Ours) {
    find(group, ours);
    through_hit(group, ours);
    through_handles(group, ours);
}

fn kernel_find(group: &mut Group<'_>, kernel: &Kernel) {
    let mut next = rounds();
    group.bench_function("kernel: find, begin, retry", |bench| {
        bench.iter(|| {
            let hit = kernel.notifiers.find(0, Span::point(address(next()))).expect("registered");
            let ticket = kernel.notifiers.read_begin(hit.subscription());
            hit.subscription().read_retry(ticket)
        });
    });
    group.bench_function("kernel: begin, retry", |bench| bench.iter(|| kernel.begin_and_retry(next())));
}

/// How many calls were made while watched, and how long the longest took.
fn longest(mut call: impl FnMut()) -> (u64, Duration) {
    let (begun, mut count, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < WATCHED {
        let before = Instant::now();
        call();
        longest = longest.max(before.elapsed());
        count += 1;
    }
    (count, longest)
}

/// A filler that must wait for the storm, if anybody must: of a notifier that came while sections were active.
///
/// The storm is two threads whose sections overlap, each held for a while, so that some section is active nearly always.
/// It blows over after twice the time watched, because the kernel's filler might wait for ever.
fn newcomers(ours: &Ours, kernel: &Kernel) {
    let (registered, in_storm) = (Interval::point(WINDOW_BYTES - 1), Interval::point(STORM.0));
    watch(
        "ours",
        || ours.index.invalidate(in_storm, Event::new(Reason::Unmap)),
        || {
            let registration = ours.index.insert(&ours.ops, registered, Quiet).expect("memory");
            let ticket = registration.read_begin(registered).expect("covered");
            black_box(registration.read_retry(ticket));
        },
    );
    let (registered, in_storm) = (Span::point(WINDOW_BYTES - 1), Span::point(STORM.0));
    watch(
        "kernel",
        || kernel.notifiers.invalidate_start(in_storm, KernelEvent::Unmap),
        || {
            let registration = kernel.notifiers.insert(0, registered, Quiet);
            let ticket = kernel.notifiers.read_begin(registration.subscription());
            black_box(registration.subscription().read_retry(ticket));
            kernel.notifiers.remove_deferred(registration);
        },
    );
}

/// Repeats `call` under a storm of sections begun by `begin`, and prints how often and how long.
fn watch<S>(name: &str, begin: impl Fn() -> S + Sync, call: impl FnMut()) {
    let blown_over_at = Instant::now() + 2 * WATCHED;
    let storm = || {
        let section = (Instant::now() < blown_over_at).then(&begin);
        std::thread::sleep(HELD_FOR);
        drop(section);
    };
    let (count, longest) = beside(storm, || beside(storm, || longest(call)));
    println!("collide/newcomers under a storm/{name}: {count} in {WATCHED:?}, the longest took {longest:?}");
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(500))
        .without_plots()
        .configure_from_args();
    let (ours, kernel) = (Ours::new(), Kernel::new());

    let mut group = criterion.benchmark_group("collide/no-section");
    all_of_ours(&mut group, &ours);
    kernel_find(&mut group, &kernel);
    group.finish();

    let mut group = criterion.benchmark_group("collide/sections-elsewhere");
    beside(|| ours.section_elsewhere(), || all_of_ours(&mut group, &ours));
    beside(|| kernel.section_elsewhere(), || kernel_find(&mut group, &kernel));
    group.finish();

    newcomers(&ours, &kernel);
    criterion.final_summary();
}
