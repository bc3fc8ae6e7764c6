//! Two passes: all the first, then all the second, in one order.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use notifier_index::{Interval, Invalidating, Notifier, NotifierIndex, WouldBlock};
use parking_lot::Mutex;

use crate::mailbox::Mailbox;
use crate::scope::scope;
use crate::support::{Gate, MOMENT, PATIENCE, Probe, UNMAP, between, deadline, touch};

#[test]
fn all_first_passes_come_before_all_second_ones() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let owners = [index.register_ops(), index.register_ops()];
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut registrations = Vec::new();
    for (owner, ops) in owners.iter().enumerate() {
        for at in (0..50_u64).rev() {
            let (first, second) = (Arc::clone(&log), Arc::clone(&log));
            let probe = Probe::doing(move |_| first.lock().push((1, owner, at)));
            let probe = probe.then(move |_| second.lock().push((2, owner, at)));
            registrations.push(index.insert(ops, between(at, at + 10), probe).unwrap());
        }
    }
    touch(&index, 0, 99);
    let passes = (1..=2).flat_map(|pass| (0..2).flat_map(move |owner| (0..50).map(move |at| (pass, owner, at))));
    assert_eq!(*log.lock(), passes.collect::<Vec<_>>());
}

/// Notifiers without a second pass to come, a few of them, do not bring the others' second pass forward.
#[test]
fn refusals_and_panics_keep_the_order() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let log = Arc::new(Mutex::new(Vec::new()));
    let probe = |at: u64| {
        let (first, second) = (Arc::clone(&log), Arc::clone(&log));
        let probe = Probe::answering(move |_| {
            first.lock().push((1, at));
            if at.is_multiple_of(3) { Err(WouldBlock) } else { Ok(()) }
        });
        probe.then(move |_| second.lock().push((2, at)))
    };
    let _registrations: Vec<_> =
        (0..60).map(|at| index.insert(&ops, Interval::point(at), probe(at)).unwrap()).collect();
    touch(&index, 0, 99);
    let second = (0..60).filter(|at| at % 3 != 0).map(|at| (2, at));
    assert_eq!(*log.lock(), (0..60).map(|at| (1, at)).chain(second).collect::<Vec<_>>());
}

/// Far more of them than a walk can note: each pass still comes once, the second after the first.
#[test]
fn many_refusals_lose_no_second_pass() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let answer = |at: u64| if at % 2 == 1 { Err(WouldBlock) } else { Ok(()) };
    let registrations: Vec<_> = (0..500)
        .map(|at| index.insert(&ops, Interval::point(at), Probe::answering(move |_| answer(at))).unwrap())
        .collect();
    touch(&index, 0, 999);
    for (at, one) in registrations.into_iter().enumerate() {
        assert_eq!((one.payload().calls(), one.payload().finishes()), (1, 1 - at as u64 % 2));
        assert!(one.remove().is_ok(), "no callback counts as running");
    }
}

/// Starts a millisecond of work elsewhere, and waits for it in the second pass.
struct Device {
    number: usize,
}

const DEVICES: usize = 100;

/// By which the hardware reports.
static DONE: [Mailbox<()>; DEVICES] = [const { Mailbox::new(1) }; DEVICES];

impl Notifier for Device {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        clock().post((Instant::now() + Duration::from_millis(1), self.number));
        Ok(())
    }

    fn finish(&self, _: &Invalidating<'_>) {
        DONE[self.number].take(PATIENCE).unwrap();
    }
}

/// The devices' hardware: one thread that reports each work at its time.
fn clock() -> &'static Mailbox<(Instant, usize)> {
    static WORKS: Mailbox<(Instant, usize)> = Mailbox::new(DEVICES);
    static RUNS: OnceLock<()> = OnceLock::new();
    let run = || loop {
        let Some((at, device)) = WORKS.take(PATIENCE) else { continue };
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        DONE[device].post(());
    };
    RUNS.get_or_init(|| drop(std::thread::spawn(run)));
    &WORKS
}

/// The cost of a hundred waits is that of the longest, not of all.
#[test]
fn a_hundred_devices_cost_one_wait() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let devices: Vec<_> = (0..DEVICES)
        .map(|number| index.insert(&ops, Interval::point(number as u64), Device { number }).unwrap())
        .collect();
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let begun = Instant::now();
        touch(&index, 0, 999);
        best = best.min(begun.elapsed());
    }
    println!("100 notifiers with 1 ms of background work each: {best:?}");
    assert!(best >= Duration::from_millis(1) && best < Duration::from_millis(50), "{best:?}");
    drop(devices);
}

/// Two sections over one notifier at once have a second pass each, and neither waits for the other.
#[test]
fn parallel_sections_have_passes_of_their_own() {
    let _deadline = deadline();
    let index = NotifierIndex::new();
    let ops = index.register_ops();
    let gates = Arc::new([Gate::default(), Gate::default()]);
    let (first, second) = (Arc::clone(&gates), Arc::clone(&gates));
    let probe = Probe::doing(move |told| {
        if told.initiator() == Some(0) {
            first[0].open();
            first[1].pass();
        }
    });
    let probe = probe.then(move |told| assert!(told.initiator() == Some(0) || !second[1].is_open()));
    let registration = index.insert(&ops, between(0, 9), probe).unwrap();
    scope(|scope| {
        let slow = scope.spawn(|| drop(index.invalidate(between(0, 5), UNMAP.by(0))));
        gates[0].pass();
        drop(index.invalidate(between(5, 9), UNMAP.by(1)));
        assert_eq!((registration.payload().calls(), registration.payload().finishes()), (2, 1));
        std::thread::sleep(MOMENT);
        assert_eq!(index.stats().sections_active, 1);
        gates[1].open();
        slow.join().unwrap();
    });
    assert_eq!(registration.payload().finishes(), 2);
}
