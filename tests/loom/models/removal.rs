//! Removal and callbacks: none runs when the removal has been waited for.

use super::range;
use crate::runner::Model;
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;
use notifier_index::{
    Event, Invalidating, Notifier, NotifierIndex, Reason, Refused, Registration, Removal, RemoveError, WaitError,
    WouldBlock,
};
use std::sync::Arc;

/// Memory that the owner takes back once the notifier is removed. No lock: only the index keeps users apart.
struct Resource(UnsafeCell<bool>);

// SAFETY: loom checks that accesses do not race.
unsafe impl Send for Resource {}
// SAFETY: as above.
unsafe impl Sync for Resource {}

impl Resource {
    fn new() -> Arc<Self> {
        Arc::new(Resource(UnsafeCell::new(true)))
    }

    fn use_it(&self) {
        // SAFETY: loom checks that nobody writes meanwhile.
        let is_there = self.0.with(|there| unsafe { *there });
        assert!(is_there, "a callback ran after its removal was waited for");
    }

    fn take_back(&self) {
        // SAFETY: loom checks that nobody reads or writes meanwhile.
        self.0.with_mut(|there| unsafe { *there = false });
    }
}

/// Uses the resource in both passes.
struct User(Arc<Resource>);

impl Notifier for User {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.0.use_it();
        Ok(())
    }

    fn finish(&self, _: &Invalidating<'_>) {
        self.0.use_it();
    }
}

/// `remove` returns after the callback that runs, and none begins later.
pub(crate) const CALLBACK: Model = Model {
    name: "removal_waits_for_its_callback",
    twins: &["no_wait", "no_mark"],
    preemptions: 4,
    hunting: 3,
    floor: 20_000,
    run: || {
        let (index, resource) = (Arc::new(NotifierIndex::new()), Resource::new());
        let ops = index.register_ops::<User>();
        let registration = index.insert(&ops, range(), User(Arc::clone(&resource))).unwrap();
        let initiator = Arc::clone(&index);
        let section = thread::spawn(move || drop(initiator.invalidate(range(), Event::new(Reason::Clear))));
        registration.remove().unwrap();
        resource.take_back();
        section.join().unwrap();
    },
};

/// A barrier after a removal returns after its callbacks, without waiting for the removal itself.
pub(crate) const BARRIER: Model = Model {
    name: "barrier_waits_for_callbacks",
    twins: &["no_barrier"],
    preemptions: 2,
    hunting: 1,
    floor: 24_000,
    run: || {
        let (index, resource) = (Arc::new(NotifierIndex::new()), Resource::new());
        let ops = index.register_ops::<User>();
        let registration = index.insert(&ops, range(), User(Arc::clone(&resource))).unwrap();
        let (initiator, last) = (Arc::clone(&index), Arc::clone(&index));
        let section = thread::spawn(move || drop(initiator.invalidate(range(), Event::new(Reason::Clear))));
        let remover = thread::spawn(move || {
            let removal = registration.remove_deferred().unwrap();
            index.barrier().unwrap();
            resource.take_back();
            drop(removal);
        });
        section.join().unwrap();
        remover.join().unwrap();
        drop(last);
    },
};

/// Removes itself in its first callback.
struct Leaver {
    resource: Arc<Resource>,
    registration: Mutex<Option<Registration<Leaver>>>,
    removal: Mutex<Option<Removal<Leaver>>>,
}

impl Notifier for Leaver {
    fn invalidate(&self, _: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.resource.use_it();
        let registration = self.registration.lock().unwrap().take();
        if let Some(registration) = registration {
            let registration = match registration.remove() {
                Err(Refused { reason: RemoveError::WouldDeadlock, value: registration, .. }) => registration,
                _ => panic!("removed, and waited for itself"),
            };
            let removal = registration.remove_deferred().unwrap();
            assert_eq!(removal.wait(), Err(WaitError::WouldDeadlock));
            *self.removal.lock().unwrap() = Some(removal);
        }
        Ok(())
    }

    fn finish(&self, _: &Invalidating<'_>) {
        self.resource.use_it();
    }
}

/// After a removal that a callback asked for has been waited for elsewhere, no other section tells the notifier.
pub(crate) const DEFERRED: Model = Model {
    name: "deferred_removal_silences",
    twins: &["no_mark", "no_wait"],
    preemptions: 3,
    hunting: 1,
    floor: 120_000,
    run: || {
        let (index, resource) = (Arc::new(NotifierIndex::new()), Resource::new());
        let ops = index.register_ops::<Leaver>();
        let leaver =
            Leaver { resource: Arc::clone(&resource), registration: Mutex::new(None), removal: Mutex::new(None) };
        let registration = index.insert(&ops, range(), leaver).unwrap();
        let held = registration.hold();
        *held.registration.lock().unwrap() = Some(registration);
        let initiator = Arc::clone(&index);
        let section = thread::spawn(move || drop(initiator.invalidate(range(), Event::new(Reason::Clear))));
        drop(index.invalidate(range(), Event::new(Reason::Clear)));
        let removal = held.removal.lock().unwrap().take();
        if let Some(removal) = removal {
            removal.wait().unwrap();
            resource.take_back();
        }
        section.join().unwrap();
        // The removal holds the notifier, so it must not stay inside.
        drop(held.removal.lock().unwrap().take());
    },
};
