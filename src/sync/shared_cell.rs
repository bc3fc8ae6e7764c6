//! What `arc_swap` promises, in few steps that a checker can see.
//!
//! A load takes the value that is current, with what its writer published, and notes a *debt* instead of a count. A
//! swap takes the value's place and then pays the debts on the old value, one count each, before it gives its own count
//! away. Who lets go of what he borrowed strikes his debt out, or, where it was paid, lets the count go.
//!
//! Nothing here is stronger than the promise: a load reads the latest value, but publishes nothing and is no fence, so
//! whoever needs a store ordered before a load must say so himself. Each step that `arc_swap` makes at one instant is
//! one atomic operation with plain bookkeeping after it: a checker changes tasks at operations only.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard};

use super::backend::raw::{AtomicPtr, AtomicUsize};
use super::{Ordering, RefCnt};

/// Owns a value, lends it and swaps it.
pub(crate) struct SharedCell<T: RefCnt> {
    value: AtomicPtr<T::Base>,
    /// Operated on by who lets go (Release) and by who swaps (Acquire): all uses of a loan happen before the
    /// count of a value that was swapped out.
    returned: std::sync::Arc<AtomicUsize>,
    /// Bookkeeping, between the operations. Loans outlive the cell's swap, never the cell's last value.
    debts: std::sync::Arc<Mutex<Debts<T>>>,
}

/// The unpaid loans, by number.
struct Debts<T: RefCnt> {
    unpaid: Vec<(u64, *mut T::Base)>,
    next: u64,
}

impl<T: RefCnt> Debts<T> {
    fn note(&mut self, value: *mut T::Base) -> u64 {
        self.next += 1;
        self.unpaid.push((self.next, value));
        self.next
    }

    fn owed(&self, value: *mut T::Base) -> Option<u64> {
        self.unpaid.iter().find(|(_, owed)| *owed == value).map(|(number, _)| *number)
    }

    /// True if it was there.
    fn strike_out(&mut self, number: u64) -> bool {
        let before = self.unpaid.len();
        self.unpaid.retain(|(owed, _)| *owed != number);
        self.unpaid.len() < before
    }
}

// SAFETY: the pointers are compared, and followed only where a value of theirs is owned.
unsafe impl<T: RefCnt + Send + Sync> Send for Debts<T> {}

impl<T: RefCnt> SharedCell<T> {
    pub(crate) fn new(first: T) -> Self {
        SharedCell {
            value: AtomicPtr::new(T::into_ptr(first)),
            returned: std::sync::Arc::new(AtomicUsize::new(0)),
            debts: std::sync::Arc::new(Mutex::new(Debts { unpaid: Vec::new(), next: 0 })),
        }
    }

    fn debts(&self) -> MutexGuard<'_, Debts<T>> {
        self.debts.lock().expect("no holder panics")
    }

    /// The value that is current, borrowed.
    pub(crate) fn load(&self) -> Borrowed<T> {
        let current = self.look();
        let number = self.debts().note(current);
        self.loan(current, Some(number))
    }

    /// The same, owned.
    pub(crate) fn load_full(&self) -> T {
        let loan = self.load();
        T::clone(&loan)
    }

    /// Puts `next` in the place of `current`, if that is there. What was there before.
    pub(crate) fn compare_and_swap(&self, current: &Borrowed<T>, next: T) -> Borrowed<T> {
        let (expected, new) = (T::as_ptr(current), T::as_ptr(&next));
        match self.value.compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                std::mem::forget(next);
                self.pay(current);
                // The cell's own count goes to the caller.
                self.loan(expected, None)
            }
            Err(_) => {
                drop(next);
                self.load()
            }
        }
    }

    /// Always the latest value, and what its writer published; a read-modify-write that publishes nothing itself.
    fn look(&self) -> *mut T::Base {
        let null = std::ptr::null_mut();
        match self.value.compare_exchange(null, null, Ordering::Acquire, Ordering::Acquire) {
            Ok(current) | Err(current) => current,
        }
    }

    fn pay(&self, value: &T) {
        let pointer = T::as_ptr(value);
        loop {
            let owed = self.debts().owed(pointer);
            let Some(number) = owed else { break };
            // Counted before it is struck out, as nobody may find it paid and not counted.
            let count = T::clone(value);
            let paid = self.debts().strike_out(number);
            if paid {
                std::mem::forget(count);
            }
        }
        // What others did with their loans before they returned them happened before.
        self.returned.fetch_add(0, Ordering::Acquire);
    }

    fn loan(&self, value: *mut T::Base, number: Option<u64>) -> Borrowed<T> {
        // SAFETY: the value is protected by the debt, or the caller's count goes to the loan.
        let value = ManuallyDrop::new(unsafe { T::from_ptr(value) });
        Borrowed { value, number, returned: self.returned.clone(), debts: self.debts.clone() }
    }
}

impl<T: RefCnt> Drop for SharedCell<T> {
    fn drop(&mut self) {
        // SAFETY: the cell owns one count of its value.
        let last = unsafe { T::from_ptr(self.look()) };
        self.pay(&last);
    }
}

/// What the cell has lent.
pub(crate) struct Borrowed<T: RefCnt> {
    value: ManuallyDrop<T>,
    /// The number of the debt; `None` for what is owned.
    number: Option<u64>,
    returned: std::sync::Arc<AtomicUsize>,
    debts: std::sync::Arc<Mutex<Debts<T>>>,
}

impl<T: RefCnt> Deref for Borrowed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: RefCnt> Drop for Borrowed<T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.returned.fetch_add(0, Ordering::Release);
            let was_unpaid = self.debts.lock().expect("no holder panics").strike_out(number);
            if was_unpaid {
                return;
            }
        }
        // SAFETY: owned, or the debt was paid: one count, given up once.
        unsafe { ManuallyDrop::drop(&mut self.value) };
    }
}
