//! Parts that are small enough to be explored alone, with three threads and little that holds them up.

use crate::runner::Model;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, Ordering, fence};
use loom::thread;
use notifier_index::Interval;
use notifier_index::parts::{self, Activity, Gauge, Horizon, Known, Marked, Sections, Strays};
use std::sync::Arc;

/// What nobody may use while another does: no lock, only the part that is explored keeps users apart.
struct Contested(UnsafeCell<u32>);

// SAFETY: loom checks that accesses do not race.
unsafe impl Send for Contested {}
// SAFETY: as above.
unsafe impl Sync for Contested {}

impl Contested {
    fn new() -> Self {
        Contested(UnsafeCell::new(0))
    }

    fn look(&self) {
        // SAFETY: loom checks that nobody writes meanwhile.
        self.0.with(|place| unsafe { *place });
    }

    fn change(&self) {
        // SAFETY: loom checks that nobody else reads or writes meanwhile.
        self.0.with_mut(|place| unsafe { *place += 1 });
    }
}

/// What is counted uses the place until it leaves. Others who wait are one thread that pushes the phase further than any
/// one of them would.
struct Gauged {
    gauge: Gauge,
    is_closed: AtomicBool,
    is_passed: AtomicBool,
    word: Activity,
    place: Contested,
}

impl Gauged {
    fn new() -> Arc<Self> {
        Arc::new(Gauged {
            gauge: Gauge::default(),
            is_closed: AtomicBool::new(false),
            is_passed: AtomicBool::new(false),
            word: Activity::new(),
            place: Contested::new(),
        })
    }
}

/// Sections are counted before they look; who has told them waits for those that were counted before, also when other
/// waiters move the phase.
pub(crate) const GAUGE: Model = Model {
    name: "gauge_waits_for_sections",
    twins: &["short_wait"],
    preemptions: 2,
    hunting: 2,
    floor: 20_900,
    run: || {
        let gauged = Gauged::new();
        let (section, others) = (Arc::clone(&gauged), Arc::clone(&gauged));
        let section = thread::spawn(move || {
            let entry = section.gauge.enter();
            fence(Ordering::SeqCst);
            if !section.is_closed.load(Ordering::Relaxed) {
                section.place.change();
            }
            section.gauge.leave(entry);
        });
        let others = thread::spawn(move || others.gauge.advance(4));
        gauged.is_closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if gauged.gauge.advance(gauged.gauge.target()) {
            gauged.place.change();
        }
        section.join().unwrap();
        others.join().unwrap();
    },
};

/// The same for callbacks and the barrier, between which there is no fence but that of the gauge.
pub(crate) const GAUGE_BARRIER: Model = Model {
    name: "gauge_waits_for_callbacks",
    twins: &["short_wait"],
    preemptions: 2,
    hunting: 2,
    floor: 23_000,
    run: || {
        let gauged = Gauged::new();
        let (callback, others) = (Arc::clone(&gauged), Arc::clone(&gauged));
        let callback = thread::spawn(move || {
            let entry = callback.gauge.enter();
            if callback.word.enter() {
                callback.place.change();
            }
            callback.gauge.leave(entry);
        });
        let others = thread::spawn(move || others.gauge.advance(4));
        gauged.word.mark_removed();
        if gauged.gauge.advance(gauged.gauge.target()) {
            gauged.place.change();
        }
        callback.join().unwrap();
        others.join().unwrap();
    },
};

/// What a section did is over for its waiter also where others have seen it leave, and the waiter has only seen them.
pub(crate) const GAUGE_PASSED: Model = Model {
    name: "gauge_passes_on_what_was_done",
    twins: &["short_wait"],
    preemptions: 4,
    hunting: 4,
    floor: 54_700,
    run: || {
        let gauged = Gauged::new();
        let (section, others) = (Arc::clone(&gauged), Arc::clone(&gauged));
        let others = thread::spawn(move || {
            others.gauge.advance(4);
            others.is_passed.store(true, Ordering::Relaxed);
        });
        // The section may join a count that somebody has just seen empty. Yields are not counted as preemptions.
        thread::yield_now();
        let entry = gauged.gauge.enter();
        let target = gauged.gauge.target();
        let section = thread::spawn(move || {
            section.place.change();
            section.gauge.leave(entry);
        });
        thread::yield_now();
        if gauged.is_passed.load(Ordering::Relaxed) && gauged.gauge.advance(target) {
            gauged.place.change();
        }
        section.join().unwrap();
        others.join().unwrap();
    },
};

/// Bounds are noted by one writer after the other, whichever handle he has; they are known in the generation in which they
/// were noted, and whole.
pub(crate) const KNOWN: Model = Model {
    name: "bounds_have_one_writer",
    twins: &["torn_bounds"],
    preemptions: 2,
    hunting: 2,
    floor: 5_900,
    run: || {
        let (known, activity) = (Arc::new(Known::nothing()), Activity::new());
        let first = activity.stamp();
        activity.raise();
        let second = activity.stamp();
        let (one, two) = (Arc::clone(&known), Arc::clone(&known));
        let one = thread::spawn(move || one.note(first, Interval::point(10)));
        let two = thread::spawn(move || two.note(second, Interval::point(20)));
        assert!(!known.covers(second, Interval::point(10)), "bounds of another generation");
        one.join().unwrap();
        two.join().unwrap();
    },
};

/// What a slot protects is not used again, whenever its user takes the newest version.
pub(crate) const MARK: Model = Model {
    name: "mark_against_reclaim",
    twins: &["late_mark", "blind_scan"],
    preemptions: 3,
    hunting: 3,
    floor: 4_100,
    run: || {
        let shared = Arc::new((Marked::new(), [Contested::new(), Contested::new()]));
        let reader = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            let (marked, places) = &*reader;
            let slot = marked.take();
            for _ in 0..2 {
                places[marked.protect(&slot) as usize].look();
            }
            slot.clear();
        });
        shared.0.publish();
        if shared.0.is_free(0) {
            shared.1[0].change();
        }
        reader.join().unwrap();
        assert!(shared.0.is_free(0) && shared.0.is_free(1));
    },
};

/// A slot that several share protects until the last of them has left, whoever that is.
pub(crate) const SHARED_MARK: Model = Model {
    name: "marks_are_left_last",
    twins: &["loose_leave", "loose_last_share"],
    preemptions: 3,
    hunting: 3,
    floor: 790,
    run: || {
        let shared = Arc::new((Marked::new(), Contested::new()));
        let first = shared.0.take();
        assert_eq!(shared.0.protect(&first), 0);
        let second = first.share();
        shared.0.publish();
        let sharers = [first, second].map(|slot| {
            let sharer = Arc::clone(&shared);
            thread::spawn(move || {
                sharer.1.look();
                drop(slot);
            })
        });
        if shared.0.is_free(0) {
            shared.1.change();
        }
        sharers.into_iter().for_each(|sharer| sharer.join().unwrap());
        assert!(shared.0.is_free(0));
    },
};

/// Two readers take slots and look at the newest version, while it is replaced and used again if nobody protects it.
fn two_take_slots(shared: &Arc<(Marked, [Contested; 2])>) {
    let readers = [(); 2].map(|()| {
        let reader = Arc::clone(shared);
        thread::spawn(move || {
            let slot = reader.0.take();
            reader.1[reader.0.protect(&slot) as usize].look();
        })
    });
    shared.0.publish();
    if shared.0.is_free(0) {
        shared.1[0].change();
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

/// A slot that was left by one and taken by another goes on where it stood.
pub(crate) const REUSED_MARK: Model = Model {
    name: "slots_are_handed_on",
    twins: &["late_mark", "blind_scan"],
    preemptions: 2,
    hunting: 2,
    floor: 24_000,
    run: || two_take_slots(&Arc::new((Marked::new(), [Contested::new(), Contested::new()]))),
};

/// A chunk that is made beside a scan is seen by it, or its user takes a newer version.
pub(crate) const GROWTH: Model = Model {
    name: "slots_grow_beside_a_scan",
    twins: &["late_mark", "blind_scan"],
    preemptions: 2,
    hunting: 2,
    floor: 24_000,
    run: || {
        let shared = Arc::new((Marked::new(), [Contested::new(), Contested::new()]));
        // The first chunk is full.
        let full = [shared.0.take(), shared.0.take()];
        two_take_slots(&shared);
        drop(full);
    },
};

/// What benches leave is taken over whole.
pub(crate) const STRAYS: Model = Model {
    name: "strays_are_taken_over",
    twins: &["loose_strays"],
    preemptions: 5,
    hunting: 5,
    floor: 14_000,
    run: || {
        let strays = Arc::new(Strays::new());
        let leavers = [(); 2].map(|()| {
            let strays = Arc::clone(&strays);
            thread::spawn(move || strays.leave())
        });
        let before = strays.take_over();
        leavers.into_iter().for_each(|leaver| leaver.join().unwrap());
        assert_eq!(before + strays.take_over(), 2);
    },
};

/// Who has waited for the callbacks of all sections sees what they did, and none of what he removed runs later.
pub(crate) const WALKS: Model = Model {
    name: "walks_are_waited_for",
    twins: &["quiet_walk"],
    preemptions: 3,
    hunting: 3,
    floor: 1_340,
    run: || {
        let shared = Arc::new((Sections::new(), Activity::new(), Contested::new()));
        let walker = Arc::clone(&shared);
        let walker = thread::spawn(move || {
            let (sections, word, place) = &*walker;
            let section = sections.begin(0);
            let walk = sections.walk(section);
            if word.enter() {
                place.change();
            }
            sections.stand(section, walk);
            section
        });
        shared.1.mark_removed();
        shared.0.wait_for_walks();
        shared.2.change();
        // The section stands on, so that its end rings for nobody.
        shared.0.end(walker.join().unwrap());
    },
};

/// What pinned threads have read before a grace period is over for whoever sees that it has passed, pinned or not.
pub(crate) const HORIZON: Model = Model {
    name: "grace_is_seen_by_all",
    twins: &["hasty_grace"],
    preemptions: 1,
    hunting: 1,
    floor: 4_800,
    run: || {
        let shared = Arc::new((Horizon::default(), AtomicBool::new(false), Contested::new()));
        let (reader, driver) = (Arc::clone(&shared), Arc::clone(&shared));
        let reader = thread::spawn(move || {
            let _pin = parts::pin();
            if !reader.1.load(Ordering::Relaxed) {
                reader.2.look();
            }
        });
        let driver = thread::spawn(move || {
            driver.1.store(true, Ordering::Relaxed);
            (0..3).for_each(|_| driver.0.drive(1));
        });
        // Yields are not counted as preemptions.
        thread::yield_now();
        if shared.0.load() >= 1 {
            shared.2.change();
        }
        reader.join().unwrap();
        driver.join().unwrap();
    },
};
