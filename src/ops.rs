//! Owners: who a notifier belongs to.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use crate::error::ForeignOps;
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
/// let extents = index.register_ops::<&str>();
/// let caches = index.register_ops::<&str>();
/// assert_ne!(extents, caches);
///
/// let _registration = index.insert(&extents, Interval::point(7), "extent").unwrap();
/// assert!(index.pin().find(&caches, Interval::point(7)).unwrap().is_none());
/// ```
///
/// It proves the payload's type by identity, and payloads go in and come out through it, so it is invariant in `N`: an
/// owner of functions that take any reference is none of functions that take a `'static` one.
///
/// ```compile_fail
/// use notifier_index::{NotifierIndex, Ops};
///
/// let index = NotifierIndex::new();
/// let any: Ops<for<'a> fn(&'a String)> = index.register_ops();
/// let statics: Ops<fn(&'static String)> = any;
/// ```
/// ```
/// use notifier_index::{NotifierIndex, Ops};
///
/// let index = NotifierIndex::new();
/// let any: Ops<for<'a> fn(&'a String)> = index.register_ops();
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

    /// The owner's number, if it is one of the index numbered `index`.
    #[inline]
    pub(crate) fn owner_in(&self, index: u64) -> Result<u64, ForeignOps> {
        if self.index == index { Ok(self.owner) } else { Err(ForeignOps) }
    }

    /// The number of this owner in its index, as [`AnyHit::owner`](crate::AnyHit::owner) and `dump` show it.
    pub fn number(&self) -> u64 {
        self.owner
    }
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
