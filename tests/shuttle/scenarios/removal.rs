//! Removal in all its forms against sections: after the wait no callback of the notifier runs, or comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use notifier_index::{
    Invalidating, Notifier, NotifierIndex, Ops, Refused, Registration, Removal, RemoveError, WaitError, WouldBlock,
};
use shuttle::sync::Mutex;

use crate::near;
use crate::runner::Scenario;
use crate::support::{UNMAP, between, pause, step};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "removal_silences",
    twins: &["no_wait", "no_mark"],
    near_misses: &["callbacks", "removals in callbacks", "callbacks during removal", "never told"],
    run,
};

/// A victim that a callback takes away, and its removal, for somebody to wait for.
#[derive(Default)]
struct Prey {
    registered: Mutex<Option<Registration<Told>>>,
    removed: Mutex<Option<Removal<Told>>>,
}

/// What the owner knows of a notifier, also when it has gone.
#[derive(Default)]
struct Record {
    /// Between first and second pass.
    running: AtomicU64,
    calls: AtomicU64,
    /// Its removal has begun.
    is_going: AtomicBool,
    /// It has been waited for.
    is_gone: AtomicBool,
}

impl Record {
    fn note_gone(&self) {
        self.is_gone.store(true, SeqCst);
        assert_eq!(self.running.load(SeqCst), 0, "a callback runs after the wait");
        near::miss_times("never told", u64::from(self.calls.load(SeqCst) == 0));
    }
}

struct Told {
    index: Arc<NotifierIndex>,
    record: Arc<Record>,
    /// What it removes when it is told.
    prey: Option<Arc<Prey>>,
}

impl Told {
    fn hunt(&self, prey: &Prey) {
        let Some(victim) = prey.registered.lock().unwrap().take() else { return };
        let Err(Refused { reason: RemoveError::WouldDeadlock, value: victim, .. }) = victim.remove() else {
            panic!("a removal that may wait")
        };
        victim.payload().record.is_going.store(true, SeqCst);
        let removal = victim.remove_deferred().unwrap();
        // Refused only where it would have to wait.
        if let Err(error) = removal.wait() {
            assert_eq!(error, WaitError::WouldDeadlock);
        }
        assert_eq!(self.index.barrier(), Err(WaitError::WouldDeadlock));
        *prey.removed.lock().unwrap() = Some(removal);
        near::miss("removals in callbacks");
    }
}

impl Notifier for Told {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        assert!(!self.record.is_gone.load(SeqCst), "told after the wait for its removal");
        self.record.running.fetch_add(1, SeqCst);
        self.record.calls.fetch_add(1, SeqCst);
        near::miss("callbacks");
        pause(32);
        if let Some(prey) = &self.prey {
            self.hunt(prey);
        }
        near::miss_times("callbacks during removal", u64::from(self.record.is_going.load(SeqCst)));
        Ok(())
    }

    fn finish(&self, _: &Invalidating<'_>) {
        step();
        assert!(!self.record.is_gone.load(SeqCst), "its second pass after the wait for its removal");
        self.record.running.fetch_sub(1, SeqCst);
    }
}

struct World {
    index: Arc<NotifierIndex>,
    ops: Ops<Told>,
}

impl World {
    fn insert(&self, at: u64, prey: Option<Arc<Prey>>) -> Registration<Told> {
        let told = Told { index: Arc::clone(&self.index), record: Arc::default(), prey };
        self.index.insert(&self.ops, between(at, at + 1), told).unwrap()
    }

    /// Removes it and waits, in one call.
    fn remove(&self, registration: Registration<Told>) {
        let record = Arc::clone(&registration.payload().record);
        record.is_going.store(true, SeqCst);
        registration.remove().unwrap();
        record.note_gone();
    }

    fn remove_with_barrier(&self, registrations: [Registration<Told>; 2]) {
        let records = registrations.each_ref().map(|registration| Arc::clone(&registration.payload().record));
        for registration in registrations {
            registration.payload().record.is_going.store(true, SeqCst);
            drop(registration.remove_deferred().unwrap());
        }
        self.index.barrier().unwrap();
        records.iter().for_each(|record| record.note_gone());
    }

    /// Waits for what a callback has removed, if one has.
    fn wait_for(&self, prey: &Prey, record: &Record) {
        let removal = prey.removed.lock().unwrap().take();
        if let Some(removal) = removal {
            removal.wait().unwrap();
            record.note_gone();
        }
    }
}

fn run() {
    let index = Arc::new(NotifierIndex::new());
    let world = World { ops: index.register_ops(), index };
    let prey = Arc::<Prey>::default();
    let victim = world.insert(0, None);
    let victims_record = Arc::clone(&victim.payload().record);
    *prey.registered.lock().unwrap() = Some(victim);
    let hunter = world.insert(0, Some(Arc::clone(&prey)));
    let [one, two] = [0, 1].map(|at| world.insert(at, None));
    shuttle::thread::scope(|scope| {
        for at in 0..2 {
            let world = &world;
            scope.spawn(move || {
                drop(world.index.invalidate(between(at, 1), UNMAP));
                drop(world.index.try_invalidate(between(0, 0), UNMAP).expect("nobody refuses"));
            });
        }
        scope.spawn(|| world.remove(world.insert(0, None)));
        scope.spawn(|| world.remove_with_barrier([one, two]));
        scope.spawn(|| {
            pause(128);
            world.wait_for(&prey, &victims_record);
        });
    });
    world.remove(hunter);
    world.wait_for(&prey, &victims_record);
    // A payload that owns its index would keep it for ever.
    world.index.barrier().unwrap();
    drop(prey.registered.lock().unwrap().take());
    world.index.maintain();
}
