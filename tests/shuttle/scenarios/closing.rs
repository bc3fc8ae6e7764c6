//! The end of an index, and the end of the table of sections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use notifier_index::{
    BeginError, InsertError, Interval, Invalidating, Notifier, NotifierIndex, Ops, Reason, Refused, Registration,
    WouldBlock,
};
use shuttle::sync::Mutex;

use super::pages::{PAGES, World as Pages};
use crate::near;
use crate::runner::Scenario;
use crate::support::{UNMAP, between, draw_range};

/// `close` against insertions, fillers and sections.
pub(crate) const CLOSE: Scenario = Scenario {
    name: "close_tells_all",
    twins: &["closed_insert", "skip_retry"],
    near_misses: &["refused insertions", "late insertions", "refused fills", "fills", "retries"],
    run: close,
};

/// More sections at once than the table has slots (three, under `--cfg tiny_nodes`), and those who wait for them.
pub(crate) const OVERFLOW: Scenario = Scenario {
    name: "overflowing_sections_wake_all",
    twins: &["lost_wake", "generation_after_scan"],
    near_misses: &["overflows", "waits", "fills", "collisions"],
    run: overflow,
};

/// A mirror of one entry.
#[derive(Default)]
struct Told {
    mirror: Mutex<bool>,
    releases: Arc<AtomicU64>,
}

impl Notifier for Told {
    fn invalidate(&self, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
        if told.reason() == Reason::Release {
            assert_eq!(self.releases.fetch_add(1, SeqCst), 0, "told twice that the index closes");
        }
        *self.mirror.lock().unwrap() = false;
        Ok(())
    }
}

struct World {
    index: NotifierIndex,
    ops: Ops<Told>,
    /// `close` has returned.
    is_closed: AtomicBool,
}

impl World {
    fn insert(&self) -> Option<Registration<Told>> {
        let was_closed = self.is_closed.load(SeqCst);
        match self.index.insert(&self.ops, between(0, 9), Told::default()) {
            Ok(registration) => {
                assert!(!was_closed, "inserted after the return of close");
                Some(registration)
            }
            Err(Refused { reason: InsertError::Closed, .. }) => {
                near::miss("refused insertions");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn fill(&self, registration: &Registration<Told>) {
        let was_closed = self.is_closed.load(SeqCst);
        let ticket = match registration.read_begin(between(3, 4)) {
            Ok(ticket) => ticket,
            Err(BeginError::Closed) => return near::miss("refused fills"),
            Err(error) => panic!("{error}"),
        };
        assert!(!was_closed, "begun after the return of close");
        let mut mirror = registration.payload().mirror.lock().unwrap();
        if registration.read_retry(ticket) {
            return near::miss("retries");
        }
        assert!(!self.is_closed.load(SeqCst), "filled after the return of close");
        *mirror = true;
        near::miss("fills");
    }

    /// Closes, looks at what was mirrored until then, and closes again, which tells nobody.
    fn close(&self, registrations: &[Registration<Told>]) {
        self.index.close().unwrap();
        self.is_closed.store(true, SeqCst);
        for registration in registrations {
            assert!(!*registration.payload().mirror.lock().unwrap(), "mirrored after the return of close");
        }
        self.index.close().unwrap();
    }
}

fn close() {
    let index = NotifierIndex::new();
    let world = World { ops: index.register_ops(), index, is_closed: AtomicBool::new(false) };
    let standing = [world.insert().expect("open"), world.insert().expect("open")];
    let late = shuttle::thread::scope(|scope| {
        scope.spawn(|| world.close(&standing));
        let inserter = scope.spawn(|| (0..2).filter_map(|_| world.insert()).collect::<Vec<_>>());
        scope.spawn(|| standing.iter().chain(&standing).for_each(|registration| world.fill(registration)));
        scope.spawn(|| drop(world.index.invalidate(between(3, 3), UNMAP)));
        inserter.join().unwrap()
    });
    near::miss_times("late insertions", late.len() as u64);
    for registration in standing.into_iter().chain(late) {
        assert_eq!(registration.payload().releases.load(SeqCst), 1, "told once that the index closes");
        assert!(!*registration.payload().mirror.lock().unwrap(), "mirrored by a closed index");
        assert_eq!(registration.read_begin(Interval::point(3)).unwrap_err(), BeginError::Closed);
        registration.remove().unwrap();
    }
}

fn overflow() {
    let world = Pages::new();
    let registration = world.insert(between(0, PAGES as u64 - 1));
    let pages = || draw_range(PAGES as u64);
    shuttle::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (outer, inner) = (world.begin(pages()), world.begin(pages()));
                near::miss_times("overflows", u64::from(world.index.stats().sections_active > 3));
                world.end(outer);
                world.end(inner);
            });
            scope.spawn(|| {
                let held = registration.hold();
                (0..2).for_each(|_| world.fill(&held, pages()).unwrap());
            });
        }
    });
    world.check_quiet();
}
