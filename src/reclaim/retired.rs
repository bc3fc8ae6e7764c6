//! What one bench has retired: where it waits, and when it goes.
//!
//! ```text
//!   waiting:  lot of 12 ─> lot of 15 ─> lot of 16 ─> ..     behind the horizon? nobody about to take one as old?
//!                  │ sifted, object by object
//!      ┌───────────┴──────────────┐
//!   nobody looks at a version   somebody does: held by the newest such version,
//!   that reaches it: freed      and sifted anew when nobody looks at that any more
//! ```
//!
//! An object that was born in version *b* and is reached last by version *t* is reached by *b* ..= *t*. It is held by the newest
//! version up to *t* that somebody looks at, if that is not older than *b*: an older one reaches it only if this one does. So
//! it is looked at once, and once for each version that held it back: O(1) amortised, and an idle reader keeps the tree
//! that it looks at and nothing newer. (The dead lists of ZFS snapshots work alike.)
//!
//! - **\[C1]** A version in the queue is there as long as its lot is not opened.
//! - **\[C2]** An object is sifted by a scan that tells of the last version that reaches it.

use std::ptr::{self, NonNull};

use super::objects::{Chained, Object, Outlet};
use crate::busted::{self, Sabotage};
use crate::slots::Protected;
use crate::sync::{AtomicPtr, Ordering};
use crate::version::Version;

/// See the module's page.
pub(crate) struct Retired {
    retired_count: u64,
    waiting: Queue,
    opened: Chained,
    /// The last version that reaches what is opened.
    opened_last: u64,
    held: Vec<Held>,
    /// Whether some of these may be held by nobody any more.
    is_loose: bool,
}

/// Objects that one version keeps.
struct Held {
    by: u64,
    objects: Chained,
}

/// Replaced versions with their lots, oldest first unless some came from elsewhere.
struct Queue {
    first: *mut Version,
    last: *mut Version,
    bytes: u64,
}

// SAFETY: [C1] [C3] what the pointers reach belongs to the lists alone.
unsafe impl Send for Retired {}

/// What one turn has freed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Turned {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// Objects looked at.
    pub(crate) sifted: usize,
}

impl Queue {
    const EMPTY: Queue = Queue { first: ptr::null_mut(), last: ptr::null_mut(), bytes: 0 };

    fn push(&mut self, version: NonNull<Version>) {
        let version = version.as_ptr();
        // SAFETY: [V4] [C1] the version's lot is the caller's, and those in the queue are the queue's.
        unsafe {
            let lot = &mut *(*version).lot.get();
            lot.next = ptr::null_mut();
            self.bytes += lot.objects.bytes + Object::Version(NonNull::new_unchecked(version)).bytes();
            match self.last.is_null() {
                true => self.first = version,
                false => (*(*self.last).lot.get()).next = version,
            }
        }
        self.last = version;
    }

    fn pop(&mut self) -> Option<(u64, Chained)> {
        let first = NonNull::new(self.first)?;
        // SAFETY: [V4] [C1]
        let (number, lot) = unsafe { (first.as_ref().seq, &mut *first.as_ref().lot.get()) };
        self.first = lot.next;
        if self.first.is_null() {
            self.last = ptr::null_mut();
        }
        let mut objects = std::mem::replace(&mut lot.objects, Chained::EMPTY);
        objects.push(Object::Version(first));
        self.bytes -= objects.bytes;
        Some((number, objects))
    }
}

impl Retired {
    pub(crate) const NOTHING: Retired = Retired {
        retired_count: 0,
        waiting: Queue::EMPTY,
        opened: Chained::EMPTY,
        opened_last: 0,
        held: Vec::new(),
        is_loose: false,
    };

    /// Takes a version that the caller has replaced, and what it was the last to reach.
    ///
    /// # Safety
    /// [V4] The caller has moved `current` from this version to the next.
    pub(crate) unsafe fn add(&mut self, version: NonNull<Version>, objects: Chained) {
        self.retired_count += objects.count + 1;
        // SAFETY: [V4] nobody else has replaced this version.
        unsafe { (*version.as_ref().lot.get()).objects = objects };
        self.waiting.push(version);
    }

    /// Objects that were ever retired here.
    pub(crate) fn retired_count(&self) -> u64 {
        self.retired_count
    }

    /// Whether nothing is here at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.first.is_null() && self.opened.is_empty() && self.held.is_empty()
    }

    /// Bytes that wait to be looked at for the first time.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting.bytes + self.opened.bytes
    }

    /// There is a new scan: what is held is to be looked at again.
    pub(crate) fn begin_anew(&mut self) {
        self.is_loose = !self.held.is_empty();
    }

    /// Whether a turn may find something to do.
    #[inline]
    pub(crate) fn is_due(&self, horizon: u64, protected: &Protected) -> bool {
        // SAFETY: [C1]
        let first = unsafe { self.waiting.first.as_ref() };
        self.is_loose
            || !self.opened.is_empty()
            || first.is_some_and(|first| first.seq < horizon && protected.tells_of(first.seq))
    }

    /// Frees what nobody can reach any more; looks at no more than `budget` objects.
    ///
    /// Versions below `horizon` are out of the reach of every pin.
    pub(crate) fn turn(
        &mut self,
        horizon: u64,
        protected: &Protected,
        budget: usize,
        outlet: &mut Outlet<'_>,
    ) -> Turned {
        let mut turned = Turned::default();
        if self.is_loose {
            self.loosen(protected, budget, outlet, &mut turned);
        }
        while turned.sifted < budget && self.has_room(protected) {
            if self.opened.is_empty() && !self.open_next(horizon, protected) {
                break;
            }
            if protected.is_open_at(self.opened_last) || !protected.tells_of(self.opened_last) {
                break;
            }
            let Some(object) = self.opened.pop() else { break };
            self.sift(object, self.opened_last, protected, outlet, &mut turned);
        }
        turned
    }

    /// Opens the oldest lot, if its grace is over and nobody may be about to take a version that reaches it.
    fn open_next(&mut self, horizon: u64, protected: &Protected) -> bool {
        // SAFETY: [C1]
        let is_over = |version: &Version| {
            version.seq < horizon && protected.tells_of(version.seq) && !protected.is_open_at(version.seq)
        };
        // SAFETY: [C1]
        if !unsafe { self.waiting.first.as_ref() }.is_some_and(is_over) {
            return false;
        }
        let Some((number, objects)) = self.waiting.pop() else { return false };
        (self.opened_last, self.opened) = (number, objects);
        true
    }

    /// Sifts anew what is held by versions that nobody looks at any more.
    fn loosen(&mut self, protected: &Protected, budget: usize, outlet: &mut Outlet<'_>, turned: &mut Turned) {
        for at in (0..self.held.len()).rev() {
            let by = self.held[at].by;
            if protected.contains(by) || protected.is_open_at(by) || !protected.tells_of(by) {
                continue;
            }
            while turned.sifted < budget && self.has_room(protected) {
                let Some(object) = self.held[at].objects.pop() else { break };
                self.sift(object, by, protected, outlet, turned);
            }
        }
        self.held.retain(|held| !held.objects.is_empty());
        self.is_loose = turned.sifted >= budget;
    }

    /// Whether one version more can hold something; where there is no memory for it, all stays where it is.
    fn has_room(&mut self, protected: &Protected) -> bool {
        protected.is_empty() || self.held.try_reserve(1).is_ok()
    }

    /// Frees an object that `last` and none after it reaches, or leaves it to the version that holds it.
    fn sift(&mut self, object: Object, last: u64, protected: &Protected, outlet: &mut Outlet<'_>, turned: &mut Turned) {
        turned.sifted += 1;
        match protected.newest_up_to(last) {
            Some(by) if object.birth() <= by && !busted::is(Sabotage::EarlyDeath) => self.hold(by, object),
            _ => {
                turned.objects += 1;
                turned.bytes += object.bytes();
                // SAFETY: [C2] by the two conditions nobody can reach it, nor will again; it was taken from its list.
                unsafe { object.free(outlet) };
            }
        }
    }

    fn hold(&mut self, by: u64, object: Object) {
        let at = self.held.iter().position(|held| held.by == by).unwrap_or_else(|| {
            self.held.push(Held { by, objects: Chained::EMPTY });
            self.held.len() - 1
        });
        self.held[at].objects.push(object);
    }

    /// Notes what is held back here, and by which versions.
    pub(crate) fn witness(&self, horizon: u64, evidence: &mut Evidence) {
        for held in &self.held {
            evidence.note(held.by, held.objects.bytes);
        }
        // SAFETY: [C1]
        match unsafe { self.waiting.first.as_ref() } {
            Some(first) if first.seq >= horizon => evidence.note_pin(first.seq, self.waiting.bytes),
            Some(first) => evidence.note(first.seq, self.waiting.bytes),
            None => {}
        }
    }

    /// Takes over what benches have left that are gone.
    pub(crate) fn adopt(&mut self, strays: &Strays) {
        let mut next = strays.take_all();
        while let Some(version) = NonNull::new(next) {
            // SAFETY: [C1] the list is this bench's.
            unsafe {
                version.as_ref().lot_witness.read();
                next = (*version.as_ref().lot.get()).next;
            }
            self.waiting.push(version);
        }
    }

    /// Leaves everything to others. Nothing has been sifted here.
    pub(crate) fn leave(&mut self, strays: &Strays) {
        debug_assert!(self.held.is_empty() && self.opened.is_empty(), "a spare bench takes no turns");
        let queue = std::mem::replace(&mut self.waiting, Queue::EMPTY);
        strays.push(queue.first, queue.last);
    }
}

/// Replaced versions of benches that are gone, linked by their lots.
#[derive(Default)]
pub(crate) struct Strays(AtomicPtr<Version>);

impl Strays {
    pub(crate) fn is_empty(&self) -> bool {
        // [O27] Relaxed: a look that saves the swap.
        self.0.load(Ordering::Relaxed).is_null()
    }

    fn push(&self, first: *mut Version, last: *mut Version) {
        if first.is_null() {
            return;
        }
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: [C1] the list is the caller's until the exchange.
            unsafe {
                (*last).lot_witness.write();
                (*(*last).lot.get()).next = head;
            }
            // [O27] Release, partner of the Acquire in `take_all`: the lots.
            let release = busted::weaker(Sabotage::LooseStrays, Ordering::Release);
            match self.0.compare_exchange_weak(head, first, release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn take_all(&self) -> *mut Version {
        // [O27] Acquire, partner of the Release in `push`.
        self.0.swap(ptr::null_mut(), Ordering::Acquire)
    }
}

/// What is held back, and by what.
#[derive(Default)]
pub(crate) struct Evidence {
    /// By pins, and the oldest version that waits for them.
    pub(crate) pinned: Option<(u64, u64)>,
    /// By versions that somebody looks at: number and bytes.
    pub(crate) held: Vec<(u64, u64)>,
}

impl Evidence {
    fn note(&mut self, by: u64, bytes: u64) {
        if let Some((_, sum)) = self.held.iter_mut().find(|(number, _)| *number == by) {
            *sum += bytes;
        } else if self.held.try_reserve(1).is_ok() {
            self.held.push((by, bytes));
        }
    }

    fn note_pin(&mut self, number: u64, bytes: u64) {
        let (oldest, sum) = self.pinned.unwrap_or((number, 0));
        self.pinned = Some((oldest.min(number), sum + bytes));
    }
}
