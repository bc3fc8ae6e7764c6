//! Who runs beside whom. All indexes of a process share one collector, so a pin of one test holds back what another
//! retires: a test that counts what is retired runs alone, the others run together.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use notifier_index::{Interval, NotifierIndex};

static TURN: RwLock<()> = RwLock::new(());

/// The threads that wait for their turn; they pin nothing.
static WAITING: Mutex<BTreeSet<OsString>> = Mutex::new(BTreeSet::new());

const PATIENCE: Duration = Duration::from_secs(10);

/// Under `--cfg busted` the environment may name a sabotage, under which tests must fail.
fn break_what_is_to_be_broken() {
    #[cfg(busted)]
    if let Ok(name) = std::env::var("BUSTED") {
        notifier_index::busted::set(&name).expect("a sabotage that is known");
    }
}

/// Beside the others.
pub(crate) fn together() -> RwLockReadGuard<'static, ()> {
    break_what_is_to_be_broken();
    waiting(|| TURN.read().unwrap_or_else(PoisonError::into_inner))
}

/// Without the others, and when their threads, which pin once more while they end, have ended.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    break_what_is_to_be_broken();
    let turn = waiting(|| TURN.write().unwrap_or_else(PoisonError::into_inner));
    until_others_have_ended();
    until_no_thread_pins();
    turn
}

fn waiting<T>(turn: impl FnOnce() -> T) -> T {
    let me = this_thread();
    let set = || WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    set().extend(me.clone());
    let turn = turn();
    set().retain(|thread| Some(thread) != me.as_ref());
    turn
}

/// Where `/proc` does not tell, nobody is waited for.
fn this_thread() -> Option<OsString> {
    Some(std::fs::read_link("/proc/thread-self").ok()?.file_name()?.to_owned())
}

/// Waits for the threads of tests that have had their turn: the scheduler may leave one, in its very last pin, aside for
/// longer than the test that is alone takes to retire a megabyte.
fn until_others_have_ended() {
    let until = Instant::now() + PATIENCE;
    while others().is_some_and(|others| others > 0) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How many threads are there but this one, those that wait for their turn, and those that are named as the process is:
/// libtest's, and a sanitizer's.
fn others() -> Option<usize> {
    let me = this_thread()?;
    let name = |path: &Path| std::fs::read(path.join("comm")).ok();
    let process = name(Path::new("/proc/self"))?;
    let mut threads: Vec<_> = std::fs::read_dir("/proc/self/task").ok()?.flatten().collect();
    threads.retain(|thread| name(&thread.path()).is_some_and(|name| name != process));
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    Some(threads.iter().filter(|thread| thread.file_name() != me && !waiting.contains(&thread.file_name())).count())
}

/// Waits until no thread is pinned: those of other tests pin once more while they end, and may be interrupted there.
pub(crate) fn until_no_thread_pins() {
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    drop(index.insert(&ops, Interval::FULL, ()).unwrap());
    for _ in 0..1000 {
        std::thread::sleep(Duration::from_millis(5));
        index.maintain();
        if index.stats().retired_objects == 0 {
            break;
        }
    }
}

/// Frees all that nothing but the threads of other tests could hold back.
pub(crate) fn maintain_alone(index: &NotifierIndex) {
    for _ in 0..2 {
        until_no_thread_pins();
        index.maintain();
    }
}
