//! Collision-retry, and how long it may wait.

use super::*;

#[test]
fn a_ticket_is_stale_after_a_section_over_the_notifier_and_no_other() {
    let notifiers = KernelNotifiers::new();
    let [near, far] = [1, 9].map(|number| notifiers.insert(0, page(number), Watcher::default()));
    let tickets = [&near, &far].map(|one| notifiers.read_begin(one.subscription()));
    let stale =
        |tickets: [u64; 2]| [near.subscription().read_retry(tickets[0]), far.subscription().read_retry(tickets[1])];
    assert_eq!(stale(tickets), [false, false]);
    let section = start(&notifiers, page(1));
    assert_eq!(stale(tickets), [true, false]);
    let _during = notifiers.read_begin(far.subscription());
    drop(section);
    assert_eq!(stale(tickets), [true, false]);
    let again = notifiers.read_begin(near.subscription());
    assert!(!near.subscription().read_retry(again));
    assert_eq!(notifiers.stats().wait_count, 0);
}

/// Runs `read_begin` on a thread while the section is active; returns when it waits, ends the section, says whether the
/// ticket was stale then.
fn begins_after<N: KernelNotifier>(
    notifiers: &KernelNotifiers<N>,
    subscription: &KernelSubscription<N>,
    section: KernelSection<'_, N>,
) -> bool {
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| subscription.read_retry(notifiers.read_begin(subscription)));
        until(|| notifiers.stats().waiting_count == 1);
        assert!(!reader.is_finished());
        drop(section);
        reader.join().unwrap()
    })
}

#[test]
fn read_begin_waits_for_the_section_that_told_the_notifier() {
    let notifiers = KernelNotifiers::new();
    let watcher = notifiers.insert(0, page(1), Watcher::default());
    let section = start(&notifiers, page(1));
    assert!(!begins_after(&notifiers, watcher.subscription(), section));
}

#[test]
fn read_begin_waits_where_the_notifier_came_during_a_section() {
    let notifiers = KernelNotifiers::new();
    let over_nothing = start(&notifiers, page(1));
    let first = notifiers.insert(0, page(1), Watcher::default());
    assert!(!begins_after(&notifiers, first.subscription(), over_nothing));
    let hit = start(&notifiers, page(1));
    let second = notifiers.insert(0, page(1), Watcher::default());
    assert!(!begins_after(&notifiers, second.subscription(), hit));
}

#[test]
fn update_is_covered_by_running_section() {
    let notifiers = KernelNotifiers::new();
    let mut watcher = notifiers.insert(0, page(1), Watcher::default());
    let over_nothing = start(&notifiers, page(5));
    notifiers.update(&mut watcher, page(5));
    assert!(!begins_after(&notifiers, watcher.subscription(), over_nothing));
    let other = notifiers.insert(0, page(9), Watcher::default());
    let hit = start(&notifiers, page(9));
    notifiers.update(&mut watcher, page(9));
    assert!(!begins_after(&notifiers, watcher.subscription(), hit));
    let section = start(&notifiers, page(9));
    let grown = Span::between(0, 0x9fff);
    notifiers.update(&mut watcher, grown);
    notifiers.remove_deferred(other);
    drop(section);
    let waits = notifiers.stats().wait_count;
    let _over_nothing = start(&notifiers, page(20));
    notifiers.update(&mut watcher, page(3));
    notifiers.read_begin(watcher.subscription());
    assert_eq!(notifiers.stats().wait_count, waits, "a notifier that only shrinks is in no section that it was not in");
}

/// Stops a storm, also where the test fails.
struct StopAtDrop<'t>(&'t AtomicBool);

impl Drop for StopAtDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The kernel's weakness. The one section over the reader's notifier has ended; it waits for a moment in which no
/// section over other notifiers is active, and each of those starts before its predecessor ends.
#[test]
fn unrelated_sections_without_pause_starve_a_reader_until_they_stop() {
    const SECTIONS: u64 = 20_000;
    let notifiers = KernelNotifiers::new();
    let mine = notifiers.insert(0, page(1), Watcher::default());
    let _others = [10, 11].map(|number| notifiers.insert(0, page(number), Watcher::default()));
    let (begun, may_stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let own_section = start(&notifiers, page(1));
    std::thread::scope(|scope| {
        let mut storm_section = start(&notifiers, page(10));
        let (notifiers, may_stop) = (&notifiers, &may_stop);
        scope.spawn(move || {
            for number in (10..=11).cycle().take_while(|_| !may_stop.load(Ordering::Relaxed)) {
                let next = start(notifiers, page(number));
                drop(std::mem::replace(&mut storm_section, next));
            }
        });
        let storm = StopAtDrop(may_stop);
        drop(own_section);
        scope.spawn(|| {
            notifiers.read_begin(mine.subscription());
            begun.fetch_add(1, Ordering::Release);
        });
        until(|| notifiers.stats().waiting_count == 1);
        let before = notifiers.stats();
        until(|| notifiers.stats().section_count - before.section_count >= SECTIONS);
        let after = notifiers.stats();
        // Read first: had it begun in the meantime, the sequence could not be the same.
        assert_eq!((begun.load(Ordering::Acquire), after.waiting_count, after.wait_count), (0, 1, 1));
        assert_eq!((after.sequence, mine.payload().call_count()), (before.sequence, 1));
        drop(storm);
    });
    assert_eq!((begun.load(Ordering::Acquire), notifiers.stats().waiting_count), (1, 0));
}

/// The same storm delays what was deferred: a removed payload lives, and the list grows, until it stops.
#[test]
fn unrelated_sections_without_pause_hold_the_deferred_list() {
    const ROUNDS: usize = 1_000;
    let (notifiers, drops) = (KernelNotifiers::new(), Arc::default());
    let _other = notifiers.insert(0, page(10), Watcher::default());
    let removable: Vec<_> =
        (0..ROUNDS).map(|_| notifiers.insert(0, page(1), Watcher::counting_drops(&drops))).collect();
    let mut section = start(&notifiers, page(10));
    for registration in removable {
        notifiers.remove_deferred(registration);
        let next = start(&notifiers, page(10));
        drop(std::mem::replace(&mut section, next));
    }
    assert_eq!((drops.load(Ordering::Relaxed), notifiers.stats().deferred_count), (0, ROUNDS));
    assert_eq!(found(&notifiers, page(1)), None);
    drop(section);
    assert_eq!((drops.load(Ordering::Relaxed), notifiers.stats().deferred_count), (ROUNDS, 0));
}
