//! Insert, update and removal, done at once or deferred; find beside them.

use super::*;

#[test]
fn an_insert_in_a_phase_is_found_at_once_and_told_from_the_next() {
    let notifiers = KernelNotifiers::new();
    let _other = notifiers.insert(0, page(9), Watcher::default());
    let section = start(&notifiers, page(9));
    let watcher = notifiers.insert(0, page(1), Watcher::default());
    assert_eq!((found(&notifiers, page(1)), notifiers.stats().deferred_count), (Some(page(1)), 1));
    drop(start(&notifiers, page(1)));
    assert_eq!(watcher.payload().call_count(), 0, "the tree is frozen");
    drop(section);
    assert_eq!((found(&notifiers, page(1)), notifiers.stats().deferred_count), (Some(page(1)), 0));
    drop(start(&notifiers, page(1)));
    assert_eq!(watcher.payload().call_count(), 1);
}

#[test]
fn an_insert_beside_a_section_over_nothing_is_done_and_makes_the_sequence_odd() {
    let notifiers = KernelNotifiers::new();
    let section = start(&notifiers, page(1));
    let watcher = notifiers.insert(0, page(1), Watcher::default());
    let stats = notifiers.stats();
    assert_eq!((stats.sequence, stats.deferred_count), (3, 0));
    drop(start(&notifiers, page(1)));
    assert_eq!(watcher.payload().call_count(), 1, "it was not deferred");
    drop(section);
    assert_eq!(notifiers.stats().sequence, 4);
}

#[test]
fn find_sees_no_pending_remove() {
    let (notifiers, drops) = (KernelNotifiers::new(), Arc::default());
    let watcher = notifiers.insert(0, page(1), Watcher::counting_drops(&drops));
    let section = start(&notifiers, page(1));
    notifiers.remove_deferred(watcher);
    assert_eq!((found(&notifiers, Span::FULL), notifiers.stats().notifier_count), (None, 0));
    assert_eq!(drops.load(Ordering::Relaxed), 0, "a callback of it may still be running");
    let other = start(&notifiers, page(1));
    drop(section);
    assert_eq!(drops.load(Ordering::Relaxed), 0, "the phase lasts until the last section ends");
    drop(other);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    let unhurried = notifiers.insert(0, page(1), Watcher::counting_drops(&drops));
    notifiers.remove_deferred(unhurried);
    assert_eq!((drops.load(Ordering::Relaxed), notifiers.stats().deferred_count), (2, 0));
}

#[test]
fn a_hit_keeps_the_memory_of_what_is_removed() {
    let (notifiers, drops) = (KernelNotifiers::new(), Arc::default());
    let watcher = notifiers.insert(7, page(1), Watcher::counting_drops(&drops));
    let hit = notifiers.find(7, page(1)).unwrap();
    notifiers.remove(watcher);
    assert!(notifiers.find(7, page(1)).is_none());
    assert_eq!((hit.span(), hit.payload().call_count(), drops.load(Ordering::Relaxed)), (page(1), 0, 0));
    drop(hit);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

#[test]
fn drain_loop_terminates_during_section() {
    let (notifiers, drops) = (KernelNotifiers::new(), Arc::default());
    let insert = |number| (number, notifiers.insert(0, page(number), Watcher::counting_drops(&drops)));
    let mut registrations: std::collections::BTreeMap<u64, _> = (0..10).map(insert).collect();
    let section = start(&notifiers, page(3));
    registrations.extend((10..20).map(insert));
    while let Some(span) = found(&notifiers, Span::FULL) {
        notifiers.remove_deferred(registrations.remove(&(span.start() >> 12)).unwrap());
    }
    assert!(registrations.is_empty());
    assert_eq!(drops.load(Ordering::Relaxed), 10, "pending inserts are taken back at once");
    drop(section);
    assert_eq!((drops.load(Ordering::Relaxed), found(&notifiers, Span::FULL)), (20, None));
}

#[test]
fn an_update_in_a_phase_shows_the_new_bounds_only_and_is_told_by_the_old() {
    let notifiers = KernelNotifiers::new();
    let mut watcher = notifiers.insert(0, page(1), Watcher::default());
    let section = start(&notifiers, page(1));
    for to in [page(5), page(6)] {
        notifiers.update(&mut watcher, to);
        assert_eq!((found(&notifiers, page(1)), found(&notifiers, page(5)).is_some()), (None, to == page(5)));
        assert_eq!((found(&notifiers, Span::FULL), watcher.span()), (Some(to), to));
    }
    assert_eq!(notifiers.stats().deferred_count, 2, "the second update moves what the first deferred");
    drop(start(&notifiers, page(6)));
    assert_eq!(watcher.payload().call_count(), 1);
    drop(start(&notifiers, page(1)));
    assert_eq!(watcher.payload().call_count(), 2);
    drop(section);
    drop(start(&notifiers, page(1)));
    assert_eq!(watcher.payload().call_count(), 2);
    drop(start(&notifiers, page(6)));
    assert_eq!((watcher.payload().call_count(), found(&notifiers, Span::FULL)), (3, Some(page(6))));
}

#[test]
fn what_was_updated_or_inserted_in_a_phase_can_be_removed_in_it() {
    let (notifiers, drops) = (KernelNotifiers::new(), Arc::default());
    let [mut moved, touched] = [1, 2].map(|n| notifiers.insert(0, page(n), Watcher::counting_drops(&drops)));
    let section = start(&notifiers, page(2));
    notifiers.update(&mut moved, page(3));
    notifiers.remove_deferred(moved);
    let mut pending = notifiers.insert(0, page(4), Watcher::counting_drops(&drops));
    notifiers.update(&mut pending, page(5));
    notifiers.remove(pending);
    assert_eq!(drops.load(Ordering::Relaxed), 1, "a pending insert is taken back without waiting");
    assert_eq!(found(&notifiers, Span::FULL), Some(page(2)));
    drop(section);
    assert_eq!((drops.load(Ordering::Relaxed), found(&notifiers, page(3))), (2, None));
    notifiers.remove(touched);
    assert_eq!((drops.load(Ordering::Relaxed), found(&notifiers, Span::FULL)), (3, None));
}

#[test]
fn a_blocking_removal_waits_for_the_end_of_the_phase() {
    let (notifiers, drops) = (KernelNotifiers::new(), Arc::default());
    let watcher = notifiers.insert(0, page(1), Watcher::counting_drops(&drops));
    let _other = notifiers.insert(0, page(2), Watcher::default());
    let first = start(&notifiers, page(1));
    let is_removed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            notifiers.remove(watcher);
            is_removed.store(true, Ordering::Release);
        });
        until(|| notifiers.stats().waiting_count == 1);
        let second = start(&notifiers, page(2));
        drop(first);
        assert!(!is_removed.load(Ordering::Acquire), "a section that never called it holds the removal up");
        assert_eq!((drops.load(Ordering::Relaxed), found(&notifiers, page(1))), (0, None));
        drop(second);
    });
    assert!(is_removed.load(Ordering::Acquire));
    assert_eq!((drops.load(Ordering::Relaxed), notifiers.stats().waiting_count), (1, 0));
}

#[test]
fn a_removal_with_no_phase_does_not_wait() {
    let (notifiers, drops) = (KernelNotifiers::new(), Arc::default());
    let watcher = notifiers.insert(0, page(1), Watcher::counting_drops(&drops));
    let _over_nothing = start(&notifiers, page(9));
    notifiers.remove(watcher);
    assert_eq!((drops.load(Ordering::Relaxed), notifiers.stats().wait_count), (1, 0));
}

#[test]
fn payloads_are_dropped_under_no_lock_and_synchronize_waits_for_them() {
    struct Asking(std::sync::Weak<KernelNotifiers<Asking>>, Arc<AtomicBool>, Arc<AtomicUsize>);
    impl KernelNotifier for Asking {
        fn invalidate(&self, _range: &KernelRange, sequence: KernelSequence<'_>) -> bool {
            sequence.set();
            true
        }
    }
    impl Drop for Asking {
        fn drop(&mut self) {
            assert!(self.0.upgrade().is_none_or(|notifiers| found(&notifiers, page(1)).is_none()));
            until(|| self.1.load(Ordering::Acquire));
            self.2.fetch_add(1, Ordering::Release);
        }
    }
    let (notifiers, may_go, drops) = (Arc::new(KernelNotifiers::new()), Arc::default(), Arc::default());
    let asking = || Asking(Arc::downgrade(&notifiers), Arc::clone(&may_go), Arc::clone(&drops));
    let registration = notifiers.insert(0, page(1), asking());
    let section = start(&notifiers, page(1));
    notifiers.remove_deferred(registration);
    std::thread::scope(|scope| {
        let synchronizer = scope.spawn(|| {
            notifiers.synchronize();
            assert_eq!(drops.load(Ordering::Acquire), 1);
        });
        until(|| notifiers.stats().waiting_count == 1);
        scope.spawn(move || drop(section));
        until(|| notifiers.stats().active_invalidate_ranges == 0);
        assert!(!synchronizer.is_finished(), "the payload is not dropped yet");
        may_go.store(true, Ordering::Release);
    });
    notifiers.remove(notifiers.insert(0, page(1), asking()));
    notifiers.remove_deferred(notifiers.insert(0, page(1), asking()));
    assert_eq!(drops.load(Ordering::Acquire), 3);
}

#[test]
#[should_panic = "registered in another set"]
fn a_registration_of_another_set_is_refused() {
    let (notifiers, other) = (KernelNotifiers::new(), KernelNotifiers::new());
    let _same_place = notifiers.insert(0, page(1), Watcher::default());
    notifiers.remove(other.insert(0, page(1), Watcher::default()));
}
