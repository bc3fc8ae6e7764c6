//! A `Reader` inside a signal handler, as a profiler has it: it interrupts its thread anywhere, in the middle of snapshots,
//! changes and nested sections of the same index, and finds what is there.

#![cfg(target_os = "linux")]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use notifier_index::{Event, Interval, Invalidating, Notifier, NotifierIndex, Ops, Reader, Reason, WouldBlock};

/// Between two signals.
const PERIOD: Duration = Duration::from_micros(15);
const RUN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 10 });
const COUNT: u64 = 200;
const WINDOW: u64 = 16;
/// Sections inside one another.
const DEPTH: u64 = 20;

/// Is told, and changes nothing.
struct Quiet(u64);

impl Notifier for Quiet {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        Ok(())
    }
}

/// What the handler works with: of the one thread that is interrupted.
struct Profiler(UnsafeCell<Option<(Reader, Ops<Quiet>)>>);

// SAFETY: used by the handler alone, which runs on one thread and blocks its own signal meanwhile.
unsafe impl Sync for Profiler {}

static PROFILER: Profiler = Profiler(UnsafeCell::new(None));
static IS_READY: AtomicBool = AtomicBool::new(false);
static FINDS: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);
static VERSIONS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    if !IS_READY.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: as above.
    let Some((reader, ops)) = (unsafe { &mut *PROFILER.0.get() }) else { return };
    let at = FINDS.fetch_add(1, Ordering::Relaxed) % COUNT;
    let view = reader.view();
    VERSIONS.fetch_max(view.version(), Ordering::Relaxed);
    // Each stays in its window, and none ever goes.
    let window = Interval::new(at * WINDOW, at * WINDOW + WINDOW - 1).unwrap_or(Interval::FULL);
    let is_right = view.find(ops, window).is_some_and(|hit| hit.payload().0 == at && hit.is_live());
    WRONG.fetch_add(u64::from(!is_right), Ordering::Relaxed);
    if at == 0 {
        reader.rest();
    }
}

/// Sections inside one another, each of which tells somebody.
fn nested(index: &NotifierIndex, depth: u64) {
    if depth > 0 {
        let _section = index.invalidate(Interval::point(depth * WINDOW), Event::new(Reason::Protect));
        nested(index, depth - 1);
    }
}

#[test]
fn a_reader_in_a_signal_handler_is_always_right() {
    #[cfg(busted)]
    if let Ok(name) = std::env::var("BUSTED") {
        notifier_index::busted::set(&name).expect("a sabotage that is known");
    }
    let index = NotifierIndex::new();
    let ops = index.register_ops::<Quiet>();
    let items = (0..COUNT).map(|at| (Interval::point(at * WINDOW), Quiet(at)));
    let all = index.insert_many(&ops, items).unwrap();
    // SAFETY: nobody is interrupted yet.
    unsafe { *PROFILER.0.get() = Some((index.reader(), ops)) };
    // SAFETY: the handler allocates nothing, locks nothing, and its reader is its own.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut());
    }
    IS_READY.store(true, Ordering::Release);
    // SAFETY: it asks who this is.
    let (interrupted, is_over) = (unsafe { libc::pthread_self() }, &AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // SAFETY: the thread waits for this one before it ends.
                unsafe { libc::pthread_kill(interrupted, libc::SIGPROF) };
                let begun = Instant::now();
                while begun.elapsed() < PERIOD {
                    std::hint::spin_loop();
                }
            }
        });
        let (begun, mut step) = (Instant::now(), 0_u64);
        while begun.elapsed() < RUN {
            let at = step % COUNT;
            all[at as usize].update(Interval::point(at * WINDOW + step / COUNT % WINDOW)).unwrap();
            let snapshots = [index.snapshot(), index.snapshot()];
            assert!(snapshots.iter().all(|snapshot| snapshot.view().len() as u64 == COUNT));
            nested(&index, DEPTH);
            drop(index.insert(&ops, Interval::point(1 << 40), Quiet(COUNT)).unwrap());
            step += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        println!("{step} rounds");
    });
    IS_READY.store(false, Ordering::Release);
    let (finds, wrong) = (FINDS.load(Ordering::Relaxed), WRONG.load(Ordering::Relaxed));
    println!("{finds} finds in the handler, {wrong} wrong");
    assert!(finds > 10_000, "only {finds} finds: there is nothing to show");
    assert!(VERSIONS.load(Ordering::Relaxed) > 1_000, "the handler's reader has hardly moved");
    assert_eq!(wrong, 0);
}
