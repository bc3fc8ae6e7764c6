//! Start and end: the sequence, the count, the callbacks, refusals.

use std::sync::Weak;

use super::*;

#[test]
fn the_sequence_is_odd_exactly_while_a_section_that_hit_is_active() {
    let notifiers = KernelNotifiers::new();
    let _watcher = notifiers.insert(0, page(1), Watcher::default());
    let state = || (notifiers.stats().sequence, notifiers.stats().active_invalidate_ranges);
    let miss = start(&notifiers, page(9));
    assert_eq!(state(), (2, 1), "a section over nothing is only counted");
    let hit = start(&notifiers, page(1));
    assert_eq!((state(), hit.sequence()), ((3, 2), 3));
    let second = start(&notifiers, page(1));
    assert_eq!((state(), second.sequence()), ((3, 3), 3), "sections of one phase share its number");
    notifiers.invalidate_end(hit);
    notifiers.invalidate_end(second);
    assert_eq!(state(), (3, 1), "the phase lasts as long as any section, also one that hit nothing");
    notifiers.invalidate_end(miss);
    assert_eq!(state(), (4, 0));
    drop(start(&notifiers, page(9)));
    assert_eq!(state(), (4, 0));
}

#[test]
fn each_overlapping_notifier_is_called_once_in_ascending_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let notifiers = KernelNotifiers::new();
    let named = |name: u32| {
        let order = Arc::clone(&order);
        Doing(move || order.lock().push(name))
    };
    let spans = [(3, page(3)), (1, page(1)), (9, page(9)), (2, Span::between(0x1800, 0x9000)), (4, page(3))];
    let registrations = spans.map(|(name, span)| notifiers.insert(name % 2, span, named(name)));
    drop(start(&notifiers, Span::between(0x1fff, 0x3000)));
    assert_eq!(*order.lock(), [1, 2, 3, 4]);
    registrations.into_iter().for_each(|registration| notifiers.remove(registration));
    drop(start(&notifiers, Span::FULL));
    assert_eq!(order.lock().len(), 4);
}

#[test]
fn a_callback_is_told_range_event_and_sequence() {
    let notifiers = KernelNotifiers::new();
    let watcher = notifiers.insert(0, Span::point(u64::MAX), Watcher::default());
    let span = Span::between(7, u64::MAX);
    drop(notifiers.invalidate_start(span, KernelEvent::Migrate));
    drop(notifiers.invalidate_start_nonblock(span, KernelEvent::Clear));
    notifiers.release();
    let told = |span, event, blockable| KernelRange { span, event, blockable };
    let expected = [
        (told(span, KernelEvent::Migrate, true), 3),
        (told(span, KernelEvent::Clear, false), 5),
        (told(Span::FULL, KernelEvent::Release, true), 7),
    ];
    assert_eq!(*watcher.payload().calls.lock(), expected);
}

#[test]
fn callbacks_run_outside_the_lock_and_may_change_the_set() {
    type Set = KernelNotifiers<Box<dyn KernelNotifier>>;
    let set: Arc<Set> = Arc::new(KernelNotifiers::new());
    let spare = Mutex::new(Some(set.insert(0, page(2), Box::new(Watcher::default()) as Box<_>)));
    let within: Weak<Set> = Arc::downgrade(&set);
    let _doing = set.insert(
        0,
        page(1),
        Box::new(Doing(move || {
            let (set, mut spare) = (within.upgrade().unwrap(), spare.lock());
            let mut other = set.insert(0, page(3), Box::new(Watcher::default()) as Box<_>);
            set.update(&mut other, page(4));
            set.remove_deferred(spare.replace(other).unwrap());
            assert_eq!((found(&set, page(2)), found(&set, page(4))), (None, Some(page(4))));
            drop(start(&set, page(7)));
        })),
    );
    drop(start(&set, page(1)));
    assert_eq!((found(&set, page(2)), found(&set, page(4))), (None, Some(page(4))));
}

impl KernelNotifier for Box<dyn KernelNotifier> {
    fn invalidate(&self, range: &KernelRange, sequence: KernelSequence<'_>) -> bool {
        (**self).invalidate(range, sequence)
    }
}

#[test]
fn refused_section_is_unwound() {
    let notifiers = KernelNotifiers::new();
    let spans = [page(1), page(2), page(3)];
    let payloads = [Watcher::default(), Watcher::refusing(), Watcher::default()];
    let mut payloads = payloads.into_iter();
    let watchers = spans.map(|span| notifiers.insert(0, span, payloads.next().unwrap()));
    let calls = || watchers.each_ref().map(|watcher| watcher.payload().call_count());
    let refused = notifiers.invalidate_start_nonblock(Span::FULL, KernelEvent::Unmap);
    assert_eq!(refused.unwrap_err(), KernelWouldBlock);
    assert_eq!(calls(), [1, 1, 0], "the first refusal ends the walk");
    let stats = notifiers.stats();
    assert_eq!((stats.sequence, stats.active_invalidate_ranges, stats.refused_count), (4, 0, 0));
    drop(start(&notifiers, Span::FULL));
    assert_eq!((calls(), notifiers.stats().refused_count), ([2, 2, 1], 1), "a blocking walk goes on");
}

#[test]
fn a_panicking_callback_ends_its_section() {
    let notifiers = KernelNotifiers::new();
    let panicking = notifiers.insert(0, page(1), Doing(|| panic!("planted")));
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| start(&notifiers, page(1))));
    assert!(unwound.is_err());
    assert_eq!((notifiers.stats().sequence, notifiers.stats().active_invalidate_ranges), (4, 0));
    notifiers.remove(panicking);
}
