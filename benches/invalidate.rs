//! Sections, start and end: over nothing, over 1 and over 100 notifiers, on one thread and on two; and over notifiers
//! that start work in the background. Ours beside the kernel's semantics behind a mutex.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use notifier_index::{Event, Interval, Invalidating, Notifier, NotifierIndex, Reason, Registration, WouldBlock};
use stress::contender::kernel::{
    KernelEvent, KernelNotifier, KernelNotifiers, KernelRange, KernelRegistration, KernelSequence,
};
use stress::span::Span;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Notifiers that no section concerns, one a window, each over its lower half.
const BYSTANDER_COUNT: u64 = 1000;
const WINDOW_BYTES: u64 = 0x4000;
const BUSY_DEVICE_COUNT: usize = 100;
/// How long the work of a device takes that was told.
const WORK: Duration = Duration::from_millis(1);

/// A notifier with nothing to tear down: what is left is the price of telling it.
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

/// A device that flushes on its own once it has been told to; whoever wants to be sure must wait.
#[derive(Default)]
struct Device {
    flushed_at: Mutex<VecDeque<Instant>>,
}

impl Device {
    fn start(&self) {
        self.flushed_at.lock().expect("nothing panics here").push_back(Instant::now() + WORK);
    }

    fn wait(&self) {
        let flushed_at = self.flushed_at.lock().expect("nothing panics here").pop_front();
        let left = flushed_at.expect("started before").saturating_duration_since(Instant::now());
        std::thread::sleep(left);
    }
}

impl Notifier for Device {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.start();
        Ok(())
    }

    fn finish(&self, _: &Invalidating<'_>) {
        self.wait();
    }
}

impl KernelNotifier for Device {
    /// The kernel has one pass: each device is waited for before the next is told.
    fn invalidate(&self, _: &KernelRange, sequence: KernelSequence<'_>) -> bool {
        self.start();
        self.wait();
        sequence.set();
        true
    }
}

/// The bystanders' bounds, then those of `told_count` notifiers over the first gap.
fn bounds(told_count: usize) -> Vec<(u64, u64)> {
    let bystanders = (1..=BYSTANDER_COUNT).map(|at| (at * WINDOW_BYTES, at * WINDOW_BYTES + WINDOW_BYTES / 2 - 1));
    bystanders.chain(std::iter::repeat_n((0, WINDOW_BYTES / 2 - 1), told_count)).collect()
}

struct Ours<N: Notifier> {
    index: NotifierIndex,
    _registrations: Vec<Registration<N>>,
}

impl<N: Notifier> Ours<N> {
    fn new(bounds: &[(u64, u64)], make: impl Fn() -> N) -> Self {
        let index = NotifierIndex::new();
        let ops = index.register_ops();
        let item = |&(start, last): &(u64, u64)| (Interval::new(start, last).expect("not inverted"), make());
        let registrations = index.insert_many(&ops, bounds.iter().map(item)).expect("memory");
        Ours { index, _registrations: registrations }
    }

    fn section(&self, (start, last): (u64, u64)) {
        let interval = Interval::new(start, last).expect("not inverted");
        drop(self.index.invalidate(interval, Event::new(Reason::Unmap)));
    }
}

struct Kernel<N> {
    notifiers: KernelNotifiers<N>,
    _registrations: Vec<KernelRegistration<N>>,
}

impl<N: KernelNotifier> Kernel<N> {
    fn new(bounds: &[(u64, u64)], make: impl Fn() -> N) -> Self {
        let notifiers = KernelNotifiers::new();
        let insert = |&(start, last): &(u64, u64)| notifiers.insert(0, Span::between(start, last), make());
        let registrations = bounds.iter().map(insert).collect();
        Kernel { notifiers, _registrations: registrations }
    }

    fn section(&self, (start, last): (u64, u64)) {
        let section = self.notifiers.invalidate_start(Span::between(start, last), KernelEvent::Unmap);
        self.notifiers.invalidate_end(section);
    }
}

/// The upper halves of the bystanders' windows, which nobody covers; round and round, from a place of the thread's own.
fn gaps(thread: u64) -> impl FnMut() -> (u64, u64) {
    let mut at = thread * BYSTANDER_COUNT / 2;
    move || {
        at = at % BYSTANDER_COUNT + 1;
        (at * WINDOW_BYTES + WINDOW_BYTES / 2, (at + 1) * WINDOW_BYTES - 1)
    }
}

/// Measures sections on this thread, while `thread_count - 1` others make sections of their own without pause.
fn measure(group: &mut Group<'_>, name: &str, thread_count: u64, is_told: bool, section: impl Fn((u64, u64)) + Sync) {
    let is_over = AtomicBool::new(false);
    let (is_over, section) = (&is_over, &section);
    let ranges = |thread| {
        let mut gap = gaps(thread);
        move || if is_told { (0, WINDOW_BYTES / 2 - 1) } else { gap() }
    };
    std::thread::scope(|scope| {
        for thread in 1..thread_count {
            scope.spawn(move || {
                let mut next = ranges(thread);
                while !is_over.load(Ordering::Relaxed) {
                    section(next());
                }
            });
        }
        let mut next = ranges(0);
        group.bench_function(name, |bench| bench.iter(|| section(next())));
        is_over.store(true, Ordering::Relaxed);
    });
}

fn quiet(criterion: &mut Criterion) {
    for told_count in [0, 1, 100] {
        for thread_count in [1, 2] {
            let mut group = criterion.benchmark_group(format!("invalidate/{told_count}/threads-{thread_count}"));
            let bounds = bounds(told_count);
            let (ours, kernel) = (Ours::new(&bounds, || Quiet), Kernel::new(&bounds, || Quiet));
            measure(&mut group, "ours", thread_count, told_count > 0, |range| ours.section(range));
            measure(&mut group, "kernel", thread_count, told_count > 0, |range| kernel.section(range));
            group.finish();
        }
    }
}

fn with_background_work(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("invalidate/{BUSY_DEVICE_COUNT}-devices-1ms"));
    let bounds = bounds(BUSY_DEVICE_COUNT);
    let told = (0, WINDOW_BYTES / 2 - 1);
    // Bystanders are devices, too, and are never told.
    let (ours, kernel) = (Ours::new(&bounds, Device::default), Kernel::new(&bounds, Device::default));
    group.bench_function("ours", |bench| bench.iter(|| ours.section(told)));
    group.bench_function("kernel", |bench| bench.iter(|| kernel.section(told)));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(500))
        .without_plots()
        .configure_from_args();
    quiet(&mut criterion);
    with_background_work(&mut criterion);
    criterion.final_summary();
}
