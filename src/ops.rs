//! Owners: who a notifier belongs to.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use crate::record::Kind;

/// An owner, or class, of notifiers with payload `N`, registered with one index.
///
/// Owners are told apart by identity, like the kernel's `ops` pointers: two registrations of the same `N` are
/// two owners, whose notifiers never appear in each other's look-ups.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let extents = index.register_passive_ops::<&str>();
/// let caches = index.register_passive_ops::<&str>();
/// assert_ne!(extents, caches);
///
/// let _registration = index.insert(&extents, Interval::point(7), "extent").unwrap();
/// assert!(index.pin().find(&caches, 7).is_none());
/// ```
///
/// A look-up with the owner of another index is a mistake in the caller's code, and panics; a change with it is refused.
///
/// It proves the payload's type by identity, and payloads go in and come out through it, so it is invariant in `N`: an
/// owner of functions that take any reference is none of functions that take a `'static` one.
///
/// ```compile_fail
/// use notifier_index::{NotifierIndex, Ops};
///
/// let index = NotifierIndex::new();
/// let any: Ops<for<'a> fn(&'a String)> = index.register_passive_ops();
/// let statics: Ops<fn(&'static String)> = any;
/// ```
/// ```
/// use notifier_index::{NotifierIndex, Ops};
///
/// let index = NotifierIndex::new();
/// let any: Ops<for<'a> fn(&'a String)> = index.register_passive_ops();
/// let same: Ops<for<'a> fn(&'a String)> = any;
/// ```
pub struct Ops<N> {
    index: u64,
    owner: u64,
    kind: &'static Kind,
    /// Invariant in `N`, and `Send` and `Sync` whatever `N` is.
    payload: PhantomData<fn(N) -> N>,
}

impl<N> Ops<N> {
    pub(crate) fn new(index: u64, owner: u64, kind: &'static Kind) -> Self {
        Ops { index, owner, kind, payload: PhantomData }
    }

    pub(crate) fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The owner's number, if it is one of the index numbered `index`: for changes, which refuse another's.
    #[inline]
    pub(crate) fn owner_in(&self, index: u64) -> Option<u64> {
        (self.index == index).then_some(self.owner)
    }

    /// The owner's number, for a look-up in the index numbered `index`.
    ///
    /// # Panics
    /// If it is one of another index, which is a mistake in the caller's code.
    #[inline]
    #[track_caller]
    pub(crate) fn owner_for(&self, index: u64) -> u64 {
        if self.index != index {
            refuse_foreign(self.index, index);
        }
        self.owner
    }

    /// The number of this owner in its index, as [`AnyHit::owner`](crate::AnyHit::owner) and `dump` show it.
    pub fn number(&self) -> u64 {
        self.owner
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn refuse_foreign(own: u64, index: u64) -> ! {
    panic!("this Ops belongs to index {own}, and was used to look into index {index}");
}

impl<N> Clone for Ops<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Ops<N> {}

impl<N> PartialEq for Ops<N> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.owner) == (other.index, other.owner)
    }
}

impl<N> Eq for Ops<N> {}

impl<N> Hash for Ops<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.index, self.owner).hash(state);
    }
}

impl<N> fmt::Debug for Ops<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ops({} of index {})", self.owner, self.index)
    }
}
