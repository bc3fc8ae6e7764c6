//! Who runs beside whom. All indexes of a process share one collector, so a pin of one test holds back what another
//! retires: a test that counts what is retired runs alone, the others run together.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use notifier_index::{Interval, NotifierIndex};

static TURN: RwLock<()> = RwLock::new(());

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
    TURN.read().unwrap_or_else(PoisonError::into_inner)
}

/// Without the others, and when their threads, which pin once more while they end, have ended.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    break_what_is_to_be_broken();
    let turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
    until_no_thread_pins();
    turn
}

/// Waits until no thread is pinned: those of other tests pin once more while they end, and may be interrupted there.
pub(crate) fn until_no_thread_pins() {
    let index = NotifierIndex::new();
    let ops = index.register_ops();
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
