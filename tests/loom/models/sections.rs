//! Collision-retry: after a section nothing shows the source as it was before.

use super::{Mirror, Source, assert_not_stale, fill, interval, range};
use crate::runner::Model;
use loom::thread;
use notifier_index::{Event, Interval, NotifierIndex, Reason};
use std::sync::Arc;

/// A section that has walked before the insertion is waited for, and one that comes later tells it.
pub(crate) const INSERT: Model = Model {
    name: "insert_against_a_section",
    twins: &["section_after_load"],
    preemptions: 3,
    hunting: 3,
    floor: 6_400,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let (owner, origin) = (Arc::clone(&index), Arc::clone(&source));
        let filler = thread::spawn(move || {
            // Who is pinned already pins without a fence: the filler must not rest on it.
            let _guard = owner.pin();
            let registration = owner.insert(&ops, range(), Mirror::new()).unwrap();
            fill(&registration, &origin);
            registration
        });
        source.change(&index);
        assert_not_stale(&filler.join().unwrap());
    },
};

/// The same where another section follows in the same slot: a scan does not take the range of the one for the other's.
pub(crate) const NEXT: Model = Model {
    name: "insert_against_two_sections",
    twins: &["section_after_load"],
    preemptions: 2,
    hunting: 2,
    floor: 40_000,
    run: || insert_before(interval(100, 109)),
};

/// The same where the range of the next section lies below.
pub(crate) const NEXT_BELOW: Model = Model {
    name: "insert_against_a_section_below",
    twins: &["section_after_load"],
    preemptions: 2,
    hunting: 1,
    floor: 40_000,
    run: || insert_before(interval(0, 5)),
};

fn insert_before(next: Interval) {
    let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
    let ops = index.register_ops::<Mirror>();
    let (owner, origin) = (Arc::clone(&index), Arc::clone(&source));
    let filler = thread::spawn(move || {
        let registration = owner.insert(&ops, range(), Mirror::new()).unwrap();
        fill(&registration, &origin);
        registration
    });
    source.change(&index);
    drop(index.invalidate(next, Event::new(Reason::Other)));
    assert_not_stale(&filler.join().unwrap());
}

/// A slot that a thread has used before is not its own when another uses it.
pub(crate) const SLOT: Model = Model {
    name: "a_slot_is_not_kept",
    twins: &["lost_wake"],
    preemptions: 1,
    hunting: 1,
    floor: 560,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_passive_ops::<u32>();
        let registration = Arc::new(index.insert(&ops, range(), 7).unwrap());
        // Keeps the slot of this thread's seat, so that both use the other one.
        let elsewhere = index.invalidate(interval(200, 209), Event::new(Reason::Other));
        let (theirs, own) = (Arc::clone(&registration), Arc::clone(&index));
        let filler = thread::spawn(move || {
            drop(own.invalidate(interval(100, 109), Event::new(Reason::Other)));
            thread::yield_now();
            let error = theirs.read_begin(range()).err();
            assert_eq!(error, None, "it waits for another thread, not for itself");
        });
        // Yields are not counted as preemptions.
        thread::yield_now();
        drop(index.invalidate(range(), Event::new(Reason::Clear)));
        filler.join().unwrap();
        drop(elsewhere);
    },
};

/// The same for a notifier that comes into the range by an update.
pub(crate) const UPDATE: Model = Model {
    name: "update_against_a_section",
    twins: &["section_after_load"],
    preemptions: 3,
    hunting: 1,
    floor: 7_100,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = index.insert(&ops, interval(0, 9), Mirror::new()).unwrap();
        let origin = Arc::clone(&source);
        let filler = thread::spawn(move || {
            registration.update(interval(5, 24)).unwrap();
            fill(&registration, &origin);
            registration
        });
        source.change(&index);
        assert_not_stale(&filler.join().unwrap());
    },
};

/// A ticket over addresses that an update gives up is stale: sections tell the notifier of them no more.
pub(crate) const SHRINK: Model = Model {
    name: "shrink_against_a_filler",
    twins: &["no_raise", "no_coverage", "skip_retry"],
    preemptions: 3,
    hunting: 3,
    floor: 2_200,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, interval(0, 19), Mirror::new()).unwrap());
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let filler = thread::spawn(move || fill(&theirs, &origin));
        let mut entry = registration.payload().0.lock().unwrap();
        *entry = None;
        registration.update(interval(0, 9)).unwrap();
        drop(entry);
        source.change(&index);
        filler.join().unwrap();
        assert_eq!(registration.payload().get(), None, "filled beyond the bounds");
    },
};

/// A notifier that grows inside a section over what it grows into: the section has told nobody, so a filler has to see it in
/// the scan. It does, because it looks for coverage first (R3).
pub(crate) const GROWTH: Model = Model {
    name: "growth_in_a_section",
    twins: &["coverage_after_scan"],
    preemptions: 4,
    hunting: 2,
    floor: 10_000,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, interval(0, 9), Mirror::new()).unwrap());
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let filler = thread::spawn(move || fill(&theirs, &origin));
        let section = index.invalidate(range(), Event::new(Reason::Clear));
        registration.update(interval(0, 19)).unwrap();
        source.set();
        drop(section);
        filler.join().unwrap();
        assert_not_stale(&registration);
    },
};

/// A batch that gives addresses up, against a filler: the same as an update.
pub(crate) const BATCH: Model = Model {
    name: "batch_against_a_filler",
    twins: &["no_raise", "skip_retry"],
    preemptions: 3,
    hunting: 2,
    floor: 2_300,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, interval(0, 19), Mirror::new()).unwrap());
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let filler = thread::spawn(move || fill(&theirs, &origin));
        let mut entry = registration.payload().0.lock().unwrap();
        *entry = None;
        let mut batch = index.batch();
        batch.update(&*registration, interval(0, 9)).unwrap();
        let _ = batch.commit().unwrap();
        drop(entry);
        source.change(&index);
        filler.join().unwrap();
        assert_eq!(registration.payload().get(), None, "filled beyond the bounds");
    },
};

/// A carve that takes a filler's addresses away: the same as an update for what is cut, and the right half is told.
pub(crate) const CARVE: Model = Model {
    name: "carve_against_a_filler",
    twins: &["no_raise", "skip_retry"],
    preemptions: 3,
    hunting: 2,
    floor: 4_300,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, interval(0, 29), Mirror::new()).unwrap());
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let filler = thread::spawn(move || fill(&theirs, &origin));
        let mut entry = registration.payload().0.lock().unwrap();
        *entry = None;
        let carved = index.carve(&ops, range(), |_| Mirror::new()).unwrap();
        drop(entry);
        source.change(&index);
        filler.join().unwrap();
        assert_eq!(registration.payload().get(), None, "filled where it was carved");
        assert_eq!((carved.cut, carved.right_halves.len()), (1, 1));
    },
};

/// A carve against a filler of what it removes.
pub(crate) const CARVE_REMOVES: Model = Model {
    name: "carve_removes_against_a_filler",
    twins: &["no_mark", "skip_retry"],
    preemptions: 4,
    hunting: 3,
    floor: 600,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, range(), Mirror::new()).unwrap());
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let filler = thread::spawn(move || fill(&theirs, &origin));
        let mut entry = registration.payload().0.lock().unwrap();
        *entry = None;
        let carved = index.carve(&ops, Interval::FULL, |_| unreachable!()).unwrap();
        drop(entry);
        filler.join().unwrap();
        assert_eq!((carved.removed, registration.payload().get()), (1, None), "filled after the removal");
    },
};

/// A removal against a filler: what is filled after it would stay for ever (R6).
pub(crate) const REMOVAL: Model = Model {
    name: "removal_against_a_filler",
    twins: &["no_mark", "skip_retry"],
    preemptions: 3,
    hunting: 2,
    floor: 2_100,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = index.insert(&ops, interval(0, 19), Mirror::new()).unwrap();
        let (held, theirs, origin) = (registration.hold(), registration.hold(), Arc::clone(&source));
        let filler = thread::spawn(move || {
            let Ok(ticket) = theirs.read_begin(range()) else { return };
            let seen = origin.get();
            let mut entry = theirs.payload().0.lock().unwrap();
            if !theirs.read_retry(ticket) {
                *entry = Some(seen);
            }
        });
        let mut entry = held.payload().0.lock().unwrap();
        *entry = None;
        let removal = registration.remove_deferred().unwrap();
        drop(entry);
        drop(removal);
        filler.join().unwrap();
        assert_eq!(held.payload().get(), None, "filled after the removal");
    },
};

/// The same as `SHRINK` for a filler that has found the notifier itself, and rests on the version of its hit.
pub(crate) const SHRINK_HIT: Model = Model {
    name: "shrink_against_a_hit",
    twins: &["no_raise", "skip_retry"],
    preemptions: 4,
    hunting: 2,
    floor: 9_600,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = index.insert(&ops, interval(0, 19), Mirror::new()).unwrap();
        let (finder, origin) = (Arc::clone(&index), Arc::clone(&source));
        let filler = thread::spawn(move || {
            let snapshot = finder.snapshot();
            let Some(hit) = snapshot.find(&ops, range()).filter(|hit| hit.interval().covers(range())) else {
                return;
            };
            let Ok(ticket) = hit.read_begin(range()) else { return };
            let seen = origin.get();
            let mut entry = hit.payload().0.lock().unwrap();
            if !hit.read_retry(ticket) {
                *entry = Some(seen);
            }
        });
        let mut entry = registration.payload().0.lock().unwrap();
        *entry = None;
        registration.update(interval(0, 9)).unwrap();
        drop(entry);
        source.change(&index);
        filler.join().unwrap();
        assert_eq!(registration.payload().get(), None, "filled beyond the bounds");
    },
};

/// What a handle knows of its bounds is never half of one and half of another.
pub(crate) const KNOWN: Model = Model {
    name: "known_bounds_are_whole",
    twins: &["torn_bounds", "no_coverage"],
    preemptions: 2,
    hunting: 2,
    floor: 9_400,
    run: || {
        let index = Arc::new(NotifierIndex::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, interval(0, 9), Mirror::new()).unwrap());
        let _ = registration.read_begin(interval(0, 9)).unwrap();
        let theirs = Arc::clone(&registration);
        let asker = thread::spawn(move || {
            assert!(theirs.read_begin(interval(5, 14)).is_err(), "no version has covered this");
        });
        registration.update(interval(10, 19)).unwrap();
        let _ = registration.read_begin(interval(10, 19)).unwrap();
        asker.join().unwrap();
    },
};

/// As `ticket_against_a_section`, where the section finds no slot and is counted.
pub(crate) const OVERFLOW: Model = Model {
    name: "ticket_against_an_overflow",
    twins: &["uncounted_section", "skip_retry"],
    preemptions: 3,
    hunting: 2,
    floor: 2_600,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, range(), Mirror::new()).unwrap());
        let elsewhere = || index.invalidate(interval(100, 109), Event::new(Reason::Other));
        let (one, two) = (elsewhere(), elsewhere());
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let filler = thread::spawn(move || fill(&theirs, &origin));
        source.change(&index);
        filler.join().unwrap();
        assert_not_stale(&registration);
        drop((one, two));
    },
};

/// A ticket from before a section is stale after it, and a ticket from after it sees what it changed.
pub(crate) const TICKET: Model = Model {
    name: "ticket_against_a_section",
    twins: &["skip_retry", "generation_after_scan", "lost_wake"],
    preemptions: 3,
    hunting: 2,
    floor: 20_000,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, range(), Mirror::new()).unwrap());
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let filler = thread::spawn(move || fill(&theirs, &origin));
        source.change(&index);
        filler.join().unwrap();
        assert_not_stale(&registration);
    },
};

/// Who has waited for a section sees what was changed inside, and nobody waits for ever.
pub(crate) const WAITER: Model = Model {
    name: "end_against_a_waiter",
    twins: &["lost_wake"],
    preemptions: 9,
    hunting: 9,
    floor: 360,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, range(), Mirror::new()).unwrap());
        let section = index.invalidate(range(), Event::new(Reason::Clear));
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let waiter = thread::spawn(move || {
            let ticket = theirs.read_begin(range()).unwrap();
            assert_eq!(origin.get(), 1, "the section was not waited for");
            assert!(!theirs.read_retry(ticket));
        });
        source.0.store(1, loom::sync::atomic::Ordering::Relaxed);
        drop(section);
        waiter.join().unwrap();
    },
};

/// Who has waited for two sections sees what was changed inside either.
pub(crate) const WAITER_OF_TWO: Model = Model {
    name: "end_of_two_against_a_waiter",
    twins: &["lost_wake"],
    preemptions: 4,
    hunting: 4,
    floor: 5_300,
    run: || {
        let (index, source) = (Arc::new(NotifierIndex::new()), Source::new());
        let ops = index.register_ops::<Mirror>();
        let registration = Arc::new(index.insert(&ops, range(), Mirror::new()).unwrap());
        let one = index.invalidate(range(), Event::new(Reason::Clear));
        let two = index.invalidate(range(), Event::new(Reason::Clear));
        let (theirs, origin) = (Arc::clone(&registration), Arc::clone(&source));
        let waiter = thread::spawn(move || {
            let _ticket = theirs.read_begin(range()).unwrap();
            assert_eq!(origin.get(), 1, "the second section was not waited for");
        });
        drop(one);
        source.0.store(1, loom::sync::atomic::Ordering::Relaxed);
        drop(two);
        waiter.join().unwrap();
    },
};
