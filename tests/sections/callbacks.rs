//! What a callback may do: sleep, change the index, look things up, begin sections, refuse, panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use notifier_index::{
    BeginError, Config, Interval, NotifierIndex, Ops, Reason, Refused, RemoveError, TryInvalidateError, WaitError,
    WouldBlock,
};
use parking_lot::Mutex;

use crate::scope::scope;
use crate::support::{Gate, MOMENT, PATIENCE, Probe, UNMAP, between, deadline, touch, until, within};

#[test]
fn a_sleeping_callback_holds_nobody_up() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let (sleepers, ops) = (index.register_ops(), index.register_passive_ops::<u32>());
    let (entered, leave) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let gates = (Arc::clone(&entered), Arc::clone(&leave));
    let sleep = Probe::doing(move |_| {
        gates.0.open();
        gates.1.pass();
    });
    let _sleeper = index.insert(&sleepers, between(0, 9), sleep).unwrap();
    scope(|scope| {
        scope.spawn(|| touch(&index, 0, 9));
        entered.pass();
        for at in 0..1000 {
            let other = index.insert(&ops, between(5, 20), at).unwrap();
            assert_eq!(*index.pin().find(&ops, Interval::point(5)).unwrap().payload(), at);
            other.update(between(10, 20)).unwrap();
            assert!(!other.read_retry(other.read_begin(between(10, 20)).unwrap()));
            touch(&index, 10, 20);
            assert!(other.remove().is_ok());
        }
        leave.open();
    });
}

/// The callback holds no pin: what is removed while it runs, and what its version does not hold, is freed meanwhile.
#[test]
fn a_callback_holds_no_pin() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let (sleepers, ops) = (index.register_ops(), index.register_passive_ops());
    let (entered, leave) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let gates = (Arc::clone(&entered), Arc::clone(&leave));
    let sleep = Probe::doing(move |_| {
        gates.0.open();
        gates.1.pass();
    });
    let _sleeper = index.insert(&sleepers, between(0, 9), sleep).unwrap();
    scope(|scope| {
        scope.spawn(|| touch(&index, 0, 9));
        entered.pass();
        let payload = Arc::new(());
        let newer = index.insert(&ops, between(0, 9), Arc::clone(&payload)).unwrap();
        newer.remove().unwrap();
        until("the payload is dropped", || {
            index.maintain();
            Arc::strong_count(&payload) == 1
        });
        leave.open();
    });
}

/// What one callback does with the index that it is called from.
fn change_everything(index: &NotifierIndex, ops: &Ops<Probe>, others: &Ops<u64>) {
    let told = index.insert(ops, between(0, 100), Probe::quiet()).unwrap();
    assert!(index.pin().find(ops, Interval::point(100)).is_some(), "found as soon as it returns");
    told.update(between(0, 200)).unwrap();
    let one = index.insert(others, between(500, 509), 1).unwrap();
    let two = index.insert(others, between(510, 519), 2).unwrap();
    let mut batch = index.batch();
    batch.update(&one, between(500, 519)).unwrap();
    batch.remove(&two).unwrap();
    let key = batch.insert(others, between(520, 529), 3).unwrap();
    let three = batch.commit().unwrap().take(key).unwrap();
    assert_eq!(index.pin().find_all(others, between(500, 529)).count(), 2);
    touch(index, 500, 600);
    touch(index, 150, 199);
    assert_eq!(told.payload().calls(), 1, "told by the inner section, not by that which ran before");
    let ticket = one.read_begin(between(500, 519)).unwrap();
    assert!(!one.read_retry(ticket), "no section of this thread is there");
    let removal = one.remove_deferred().unwrap();
    removal.wait().unwrap();
    drop((three, told));
    index.maintain();
    assert!(index.pin().find(others, Interval::FULL).is_none());
}

#[test]
fn a_callback_may_change_everything() {
    let _deadline = deadline();
    let index = Arc::new(NotifierIndex::new());
    let (ops, others) = (index.register_ops(), index.register_passive_ops());
    let inner = Arc::downgrade(&index);
    let probe = Probe::doing(move |told| {
        if told.interval() == Interval::point(5) {
            change_everything(&inner.upgrade().unwrap(), &ops, &others);
        }
    });
    let probe = probe.then(|_| ());
    let registration = index.insert(&ops, between(0, 9), probe).unwrap();
    for _ in 0..100 {
        touch(&index, 5, 5);
    }
    assert_eq!(registration.payload().finishes(), 100);
    assert_eq!((index.len(), index.stats().sections_active), (1, 0));
    assert_eq!(index.snapshot().view().check(), Ok(()));
}

#[test]
fn what_would_wait_for_itself_is_refused() {
    let _deadline = deadline();
    let index = Arc::new(NotifierIndex::new());
    let (ops, others) = (index.register_ops(), index.register_passive_ops());
    let slot = Arc::new(Mutex::new(Some(index.insert(&others, between(0, 99), 7).unwrap())));
    let parts = (Arc::downgrade(&index), Arc::clone(&slot));
    let probe = Probe::doing(move |_| {
        let index = parts.0.upgrade().unwrap();
        let registration = parts.1.lock().take().unwrap();
        assert_eq!(registration.read_begin(between(5, 5)).unwrap_err(), BeginError::WouldDeadlock);
        assert!(!registration.read_retry(registration.read_begin(between(6, 99)).unwrap()), "beside the own section");
        assert_eq!(index.barrier(), Err(WaitError::WouldDeadlock));
        let version = index.version();
        let Err(Refused { reason: RemoveError::WouldDeadlock, value: registration, .. }) = registration.remove() else {
            panic!("not refused")
        };
        assert_eq!((index.version(), *registration.payload()), (version, 7), "it stands as before");
        *parts.1.lock() = Some(registration);
    });
    let probe = index.insert(&ops, between(0, 9), probe).unwrap();
    touch(&index, 5, 5);
    drop(index.try_invalidate(between(5, 5), UNMAP).unwrap());
    assert_eq!(probe.payload().calls(), 2);
    let section = index.invalidate(between(5, 5), UNMAP);
    let registration = slot.lock().take().unwrap();
    registration.remove().unwrap();
    assert_eq!(index.barrier(), Ok(()), "in a section, but in no callback");
    drop(section);
}

#[test]
fn a_callback_may_remove_from_another_index() {
    let _deadline = deadline();
    let (index, other) = (NotifierIndex::new(), Arc::new(NotifierIndex::new()));
    let (ops, others) = (index.register_ops(), other.register_passive_ops());
    let inner = Arc::clone(&other);
    let probe = Probe::doing(move |_| {
        let registration = inner.insert(&others, Interval::point(1), ()).unwrap();
        assert!(!registration.read_retry(registration.read_begin(Interval::point(1)).unwrap()));
        registration.remove().unwrap();
        inner.barrier().unwrap();
    });
    let _registration = index.insert(&ops, between(0, 9), probe).unwrap();
    touch(&index, 0, 9);
    assert!(other.is_empty());
}

#[test]
fn a_refusal_unwinds_the_section() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let probes: Vec<_> = (0..10)
        .map(|at| {
            let answer = move || if at == 5 { Err(WouldBlock) } else { Ok(()) };
            index.insert(&ops, Interval::point(at), Probe::answering(move |_| answer())).unwrap()
        })
        .collect();
    let ticket = probes[7].read_begin(Interval::point(7)).unwrap();
    assert_eq!(index.try_invalidate(between(1, 9), UNMAP).unwrap_err(), TryInvalidateError::WouldBlock);
    assert!(!probes[7].read_retry(ticket), "never told");
    let calls: Vec<_> = probes.iter().map(|probe| (probe.payload().calls(), probe.payload().finishes())).collect();
    assert_eq!(calls, [vec![(0, 0)], vec![(1, 1); 4], vec![(1, 0)], vec![(0, 0); 4]].concat());
    let stats = index.stats();
    assert_eq!((stats.sections_active, stats.callbacks_run, stats.callbacks_refused), (0, 5, 1));
    for probe in probes {
        assert!(!probe.read_retry(probe.read_begin_timeout(probe.interval(), MOMENT).unwrap()));
        within(PATIENCE, || probe.remove()).unwrap();
    }
}

#[test]
fn a_refusal_where_none_is_allowed_is_reported() {
    let _deadline = deadline();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&reports);
    let hook = Config::new().refusal_hook(move |told| log.lock().push((told.bounds(), told.reason())));
    let index = NotifierIndex::with_config(hook);
    let ops = index.register_ops();
    let probes: Vec<_> = (0..9)
        .map(|at| {
            let answer = move || if at % 3 == 0 { Err(WouldBlock) } else { Ok(()) };
            index.insert(&ops, Interval::point(at), Probe::answering(move |_| answer())).unwrap()
        })
        .collect();
    let section = index.invalidate(Interval::FULL, UNMAP);
    assert_eq!(index.stats().sections_active, 1, "it goes on");
    drop(section);
    assert_eq!(*reports.lock(), [0, 3, 6].map(|at| (Interval::point(at), Reason::Unmap)));
    let finishes: Vec<_> = probes.iter().map(|probe| probe.payload().finishes()).collect();
    assert_eq!(finishes, [0, 1, 1, 0, 1, 1, 0, 1, 1]);
    assert!(probes.iter().all(|probe| probe.payload().calls() == 1));
    assert_eq!((index.stats().callbacks_run, index.stats().callbacks_refused), (9, 3));
}

/// A notifier that panics when and where it is asked to.
fn panicking(index: &NotifierIndex, ops: &Ops<Probe>, first: bool) {
    let neighbour = index.insert(ops, between(0, 20), Probe::quiet()).unwrap();
    let probe = match first {
        true => Probe::doing(|_| panic!("planted")),
        false => Probe::quiet().then(|_| panic!("planted")),
    };
    let panics = index.insert(ops, between(5, 15), probe).unwrap();
    let after = index.insert(ops, between(10, 15), Probe::quiet()).unwrap();
    for may_block in [true, false] {
        let caught = catch_unwind(AssertUnwindSafe(|| match may_block {
            true => drop(index.invalidate(between(10, 10), UNMAP)),
            false => drop(index.try_invalidate(between(10, 10), UNMAP)),
        }));
        assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "planted", "the panic itself goes on");
    }
    assert_eq!(index.stats().sections_active, 0);
    for one in [&neighbour, &after] {
        assert_eq!((one.payload().calls(), one.payload().finishes()), (2, 2), "the others are told");
    }
    assert_eq!(panics.payload().finishes(), if first { 0 } else { 2 });
    assert!(!panics.read_retry(panics.read_begin_timeout(between(5, 15), MOMENT).unwrap()));
    within(PATIENCE, || panics.remove()).unwrap();
    within(PATIENCE, || after.remove()).unwrap();
}

#[test]
fn a_panic_frees_the_section_and_goes_on() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    panicking(&index, &ops, true);
    panicking(&index, &ops, false);
    assert!(index.barrier().is_ok());
}

#[test]
fn a_panic_wakes_those_who_wait() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let (entered, leave) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let gates = (Arc::clone(&entered), Arc::clone(&leave));
    let probe = Probe::doing(move |_| {
        gates.0.open();
        gates.1.pass();
        panic!("planted");
    });
    let registration = index.insert(&ops, between(0, 9), probe).unwrap();
    let (held, removal) = (registration.hold(), Mutex::new(None));
    scope(|scope| {
        let section = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| touch(&index, 5, 5))).is_err());
        entered.pass();
        let filler = scope.spawn(|| registration.read_begin_timeout(between(0, 9), PATIENCE).map(drop));
        until("the filler waits", || index.stats().read_begin_waits == 1);
        leave.open();
        assert_eq!(filler.join().unwrap(), Ok(()));
        assert!(section.join().unwrap());
    });
    *removal.lock() = Some(registration.remove_deferred().unwrap());
    assert_eq!(removal.lock().as_ref().unwrap().wait_timeout(PATIENCE), Ok(()));
    assert!(!held.is_live());
}

#[test]
fn a_panic_in_the_hook_goes_on_after_all_are_told() {
    let _deadline = deadline();
    let index = NotifierIndex::with_config(Config::new().refusal_hook(|_| panic!("planted")));
    let ops = index.register_ops();
    let _refuser = index.insert(&ops, between(0, 9), Probe::answering(|_| Err(WouldBlock))).unwrap();
    let after = index.insert(&ops, between(1, 9), Probe::quiet()).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| touch(&index, 0, 9))).is_err());
    assert_eq!((after.payload().finishes(), index.stats().sections_active), (1, 0));
}

/// A walk looks at the version that it loaded: a notifier that grows to the left while it is told is told once.
#[test]
fn a_notifier_that_moves_while_told_is_told_once() {
    let _deadline = deadline();
    let index = Arc::new(NotifierIndex::new());
    let ops = index.register_ops();
    let slot = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&slot);
    let turn = AtomicU64::new(0);
    let mover = Probe::doing(move |_| {
        let registrations: parking_lot::MutexGuard<'_, Vec<notifier_index::Registration<Probe>>> = shared.lock();
        let turn = turn.fetch_add(1, Ordering::SeqCst);
        for (at, registration) in registrations.iter().enumerate() {
            registration.update(between((turn * 7 + at as u64 * 13) % 40, 60)).unwrap();
        }
    });
    let mover = index.insert(&ops, between(0, 60), mover).unwrap();
    let all = (0..20).map(|at| index.insert(&ops, between(at * 2, 60), Probe::quiet()).unwrap()).collect();
    *slot.lock() = all;
    for _ in 0..200 {
        touch(&index, 50, 55);
    }
    assert_eq!(mover.payload().calls(), 200);
    let mut registrations = slot.lock();
    assert!(registrations.iter().all(|one| (one.payload().calls(), one.payload().finishes()) == (200, 200)));
    // The mover holds them, and they hold the index that holds the mover.
    registrations.clear();
}

/// A wait inside a callback is refused only where a callback of that notifier runs.
#[test]
fn waiting_for_an_idle_removal_is_allowed_in_a_callback() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let (ops, others) = (index.register_ops(), index.register_passive_ops());
    let own = Arc::new(Mutex::new(None));
    let idle = Arc::new(Mutex::new(Some(index.insert(&others, between(0, 9), ()).unwrap())));
    let parts = (Arc::clone(&own), idle);
    let probe = Probe::doing(move |_| {
        let idle = parts.1.lock().take().unwrap().remove_deferred().unwrap();
        assert_eq!(idle.wait(), Ok(()));
        let registration: notifier_index::Registration<Probe> = parts.0.lock().take().unwrap();
        let removal = registration.remove_deferred().unwrap();
        assert_eq!(removal.wait(), Err(WaitError::WouldDeadlock));
        assert_eq!(removal.wait_timeout(PATIENCE), Err(WaitError::WouldDeadlock));
    });
    *own.lock() = Some(index.insert(&ops, between(0, 9), probe).unwrap());
    touch(&index, 0, 9);
    assert!(index.is_empty());
}
