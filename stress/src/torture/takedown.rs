//! The end of a world: everything goes, in one order or the other, and then nothing may be left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use notifier_index::{Held, NotifierIndex, Registration};

use super::actor::{Actor, Ledger};
use super::keeping::Parked;
use super::marks::{Mark, Marks};
use super::seat::Kept;
use super::world::World;

/// Threads that have ended may still be in the way of a grace period for a moment: so often it is tried again.
const ATTEMPTS: u32 = 5000;
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// The library's counters agree with ours.
pub(crate) fn check_counts(world: &World) {
    let (stats, faults) = (world.index.stats(), &world.ledger.faults);
    // Relaxed: the threads have ended.
    let refused = world.refused.load(Ordering::Relaxed);
    let refused_blocking = world.refused_blocking.load(Ordering::Relaxed);
    let reported = world.reported.load(Ordering::Relaxed);
    let counts = [
        ("active sections", stats.sections_active, 0),
        ("callbacks", stats.callbacks_run, world.ledger.calls()),
        ("refusals", stats.callbacks_refused, refused),
        ("reported refusals", reported, refused_blocking),
    ];
    for (name, library, ours) in counts {
        faults.expect(library == ours, || format!("{name}: the library counts {library}, they were {ours}"));
    }
}

/// What is left when the threads have ended.
struct Remains {
    index: NotifierIndex,
    registrations: Vec<Registration<Actor>>,
    holds: Vec<Held<Actor>>,
    parked: Vec<Parked>,
    ledger: Arc<Ledger>,
}

/// Takes everything down; how much was left over.
pub(crate) fn take_down(world: Arc<World>, kept: Vec<Kept>, number: u64, marks: &mut Marks) -> u64 {
    let Some(world) = Arc::into_inner(world) else { panic!("a thread that has ended still has the world") };
    let is_index_first = world.plan.is_hostile && number.is_multiple_of(2);
    let World { index, slots, page_slots, keeper, ledger, .. } = world;
    let of_slots = slots.into_iter().filter_map(parking_lot::RwLock::into_inner);
    let of_pages = page_slots.into_iter().filter_map(parking_lot::Mutex::into_inner);
    let entries = of_slots.chain(of_pages).chain(keeper.into_inner());
    let registrations = entries.map(|entry| entry.registration).collect();
    let mut remains = Remains { index, registrations, holds: Vec::new(), parked: Vec::new(), ledger };
    for kept in kept {
        marks.add(Mark::SteadySnapshot, kept.parked.len() as u64);
        remains.holds.extend(kept.holds.into_iter().chain(kept.filler));
        remains.parked.extend(kept.parked);
    }
    match is_index_first {
        true => {
            marks.add(Mark::IndexDroppedFirst, 1);
            remains.drop_index_first()
        }
        false => remains.drop_index_last(),
    }
}

impl Remains {
    fn expect(&self, holds: bool, text: impl FnOnce() -> String) {
        self.ledger.faults.expect(holds, text);
    }

    /// What is held can be read, whatever else has gone.
    fn check_handles(&self) {
        let payloads = self.registrations.iter().map(Registration::payload).chain(self.holds.iter().map(Held::payload));
        for actor in payloads {
            self.expect(actor.is_alive(), || "a held notifier is dead at the end".to_owned());
        }
        for parked in &self.parked {
            let checked = parked.view().check();
            self.expect(checked.is_ok(), || format!("a parked snapshot at the end: {checked:?}"));
        }
    }

    /// The index goes first; what is left keeps what it needs, and no more.
    fn drop_index_first(mut self) -> u64 {
        drop(std::mem::take(&mut self.index));
        self.check_handles();
        let Remains { index, registrations, holds, parked, ledger } = self;
        drop((index, registrations, parked, holds));
        left_over(&ledger)
    }

    fn drop_index_last(self) -> u64 {
        self.check_handles();
        let Remains { index, registrations, holds, parked, ledger } = self;
        let faults = &ledger.faults;
        drop(parked);
        for (number, registration) in registrations.into_iter().enumerate() {
            if number % 2 == 0 {
                drop(registration);
            } else if let Err(error) = registration.remove() {
                faults.note(format!("a removal at the end: {error}"));
            }
        }
        drop(holds);
        let mut stats = index.stats();
        for _ in 0..ATTEMPTS {
            index.maintain();
            stats = index.stats();
            if (stats.retired_objects, ledger.left()) == (0, 0) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let figures = [ledger.left(), stats.retired_bytes, stats.live_notifiers, stats.live_nodes];
        faults.expect(figures == [0; 4], || {
            format!("after everything was removed {} payloads are left: {stats:?}", ledger.left())
        });
        let retired = stats.retired_objects;
        drop(index);
        retired + left_over(&ledger)
    }
}

fn left_over(ledger: &Ledger) -> u64 {
    let left = ledger.left();
    ledger.faults.expect(left == 0, || format!("{left} payloads were never dropped"));
    left
}
