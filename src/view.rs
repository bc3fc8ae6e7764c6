//! What guards, readers and snapshots look through: every query, once.
//!
//! Invariants:
//! - **\[W1]** A view exists only while its version is protected, so all that it reaches is allocated and unchanged.
//! - **\[H3]** (`registration.rs`) gives the payload type.

use crate::error::{Corruption, FindManyError};
use crate::hit::{AnyHit, AnyHits, Hit, Hits};
use crate::interval::Interval;
use crate::ops::Ops;
use crate::tree::TreeRef;
use crate::version::Version;

/// One version of the index, protected for `'v`: it never changes.
///
/// ```
/// use notifier_index::{Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<&str>();
/// let _low = index.insert(&ops, Interval::new(0x1000, 0x1fff)?, "low").unwrap();
/// let _high = index.insert(&ops, Interval::new(0x4000, 0x4fff)?, "high").unwrap();
///
/// let guard = index.pin();
/// let view = guard.view();
/// assert_eq!(*view.find(&ops, 0x1800).unwrap().payload(), "low");
/// assert_eq!(view.gap_at(&ops, 0x3000), Some(Interval::new(0x2000, 0x3fff)?));
/// assert_eq!(view.find_all(&ops, Interval::FULL).count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A view cannot outlive what protects it:
///
/// ```compile_fail,E0505
/// # use notifier_index::{Interval, NotifierIndex};
/// let index = NotifierIndex::new();
/// let guard = index.pin();
/// let view = guard.view();
/// drop(guard);
/// view.len();
/// ```
/// ```
/// # use notifier_index::{Interval, NotifierIndex};
/// let index = NotifierIndex::new();
/// let guard = index.pin();
/// let view = guard.view();
/// view.len();
/// drop(guard);
/// ```
#[derive(Clone, Copy)]
pub struct View<'v> {
    version: &'v Version,
}

impl<'v> View<'v> {
    pub(crate) fn new(version: &'v Version) -> Self {
        View { version }
    }

    #[inline]
    #[track_caller]
    fn tree<N>(&self, ops: &Ops<N>) -> TreeRef<'v> {
        self.version.tree_of_kind(ops.owner_for(self.version.index), ops.kind())
    }

    /// The overlapping notifier of this owner with the lowest start; among equal starts the one inserted first.
    ///
    /// Complexity: O(log n) in the notifiers of this owner: one descent.
    ///
    /// Blocking: never; wait-free, and writes nothing shared.
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[inline]
    #[track_caller]
    pub fn find<N: Send + Sync>(&self, ops: &Ops<N>, interval: impl Into<Interval>) -> Option<Hit<'v, N>> {
        let slot = self.tree(ops).first_overlap(interval.into());
        // SAFETY: [W1] [H3]
        slot.map(|slot| unsafe { Hit::new(slot, self.version) })
    }

    /// All overlapping notifiers of this owner, ascending by start, among equal starts by insertion; lazily, from either end.
    ///
    /// ```
    /// # use notifier_index::{Interval, NotifierIndex};
    /// # let index = NotifierIndex::new();
    /// # let ops = index.register_passive_ops::<()>();
    /// let _low = index.insert(&ops, Interval::new(0x1000, 0x1fff)?, ()).unwrap();
    /// let _high = index.insert(&ops, Interval::new(0x4000, 0x4fff)?, ()).unwrap();
    /// let guard = index.pin();
    /// let mut hits = guard.find_all(&ops, Interval::FULL);
    /// assert_eq!(hits.next_back().map(|hit| hit.start()), Some(0x4000));
    /// assert_eq!(hits.next_back().map(|hit| hit.start()), Some(0x1000));
    /// assert!(hits.next().is_none() && hits.next_back().is_none());
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    ///
    /// Complexity: O(log n + k) for k hits; from the back one more O(log n) for each leaf of the tree that has hits.
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[track_caller]
    pub fn find_all<N: Send + Sync>(&self, ops: &Ops<N>, interval: impl Into<Interval>) -> Hits<'v, N> {
        let interval = interval.into();
        let slots = self.tree(ops).matching(interval.last(), interval.start());
        // SAFETY: [W1] [H3]
        unsafe { Hits::new(slots, self.version) }
    }

    /// The notifiers of this owner that cover all of `interval`, in the order of [`find_all`](View::find_all).
    ///
    /// Complexity: O(log n + k) for k hits.
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[track_caller]
    pub fn containing<N: Send + Sync>(&self, ops: &Ops<N>, interval: impl Into<Interval>) -> Hits<'v, N> {
        let interval = interval.into();
        let slots = self.tree(ops).matching(interval.start(), interval.last());
        // SAFETY: [W1] [H3]
        unsafe { Hits::new(slots, self.version) }
    }

    /// The overlapping notifiers of all owners, owner by owner in order of registration, each ascending.
    ///
    /// Complexity: O(m log n + k) for k hits and m owners that have notifiers.
    pub fn overlapping(&self, interval: impl Into<Interval>) -> AnyHits<'v> {
        AnyHits::new(self.version, interval.into())
    }

    /// The notifier of this owner with the least start above `address`; among equal starts the one inserted first.
    ///
    /// Complexity: O(log n).
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[track_caller]
    pub fn first_after<N: Send + Sync>(&self, ops: &Ops<N>, address: u64) -> Option<Hit<'v, N>> {
        let slot = self.tree(ops).first_after(address);
        // SAFETY: [W1] [H3]
        slot.map(|slot| unsafe { Hit::new(slot, self.version) })
    }

    /// The notifier of this owner with the greatest start below `address`; among equal starts the one inserted last.
    ///
    /// Complexity: O(log n).
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[track_caller]
    pub fn last_before<N: Send + Sync>(&self, ops: &Ops<N>, address: u64) -> Option<Hit<'v, N>> {
        let slot = self.tree(ops).last_before(address);
        // SAFETY: [W1] [H3]
        slot.map(|slot| unsafe { Hit::new(slot, self.version) })
    }

    /// The widest interval around `address` that no notifier of this owner touches, or `None` if one covers it.
    ///
    /// Complexity: O(log n).
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[track_caller]
    pub fn gap_at<N>(&self, ops: &Ops<N>, address: u64) -> Option<Interval> {
        self.tree(ops).gap_at(address)
    }

    /// The lowest stretch of `len` addresses that begins at a multiple of `align`, lies within `within`, and that no notifier
    /// of this owner touches: where an allocator would map next.
    ///
    /// ```
    /// # use notifier_index::{Interval, NotifierIndex};
    /// # let index = NotifierIndex::new();
    /// # let ops = index.register_passive_ops::<()>();
    /// let _extent = index.insert(&ops, Interval::new(0x1000, 0x27ff)?, ()).unwrap();
    /// let (guard, all) = (index.pin(), Interval::new(0x1000, 0xffff)?);
    /// assert_eq!(guard.view().find_gap(&ops, 0x1000, 0x1000, all), Some(Interval::new(0x3000, 0x3fff)?));
    /// assert_eq!(guard.view().find_gap(&ops, 0x1000, 1, all), Some(Interval::new(0x2800, 0x37ff)?));
    /// assert_eq!(guard.view().find_gap(&ops, 0x10000, 1, all), None);
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    ///
    /// `None` also for a `len` of zero, which is no stretch; an `align` of zero is as one.
    ///
    /// Complexity: O(k log n) for the k notifiers that stand in the way of lower stretches.
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[track_caller]
    pub fn find_gap<N>(&self, ops: &Ops<N>, len: u64, align: u64, within: impl Into<Interval>) -> Option<Interval> {
        let (tree, within, align) = (self.tree(ops), within.into(), align.max(1));
        let mut from = within.start();
        loop {
            let start = from.checked_next_multiple_of(align)?;
            let stretch = Interval::from_start_len(start, len).ok().filter(|stretch| within.covers(*stretch))?;
            // Whatever begins up to the last address of what is in the way, touches that too.
            match tree.first_overlap(stretch) {
                Some(in_the_way) => from = in_the_way.last.checked_add(1)?,
                None => return Some(stretch),
            }
        }
    }

    /// Answers many [`find`](View::find)s at once, several descents interleaved so that their cache misses overlap.
    ///
    /// ```
    /// # use notifier_index::{Interval, NotifierIndex};
    /// # let index = NotifierIndex::new();
    /// # let ops = index.register_passive_ops::<u32>();
    /// # let _registration = index.insert(&ops, Interval::new(10, 19)?, 1).unwrap();
    /// let (guard, queries) = (index.pin(), [Interval::point(5), Interval::point(15)]);
    /// let mut hits = [None; 2];
    /// guard.view().find_many(&ops, &queries, &mut hits)?;
    /// assert!(hits[0].is_none() && hits[1].is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Complexity: O(q log n) for q queries.
    ///
    /// # Errors
    /// [`FindManyError`] if the slices differ in length; `hits` is untouched then.
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[track_caller]
    pub fn find_many<N: Send + Sync>(
        &self,
        ops: &Ops<N>,
        queries: &[Interval],
        hits: &mut [Option<Hit<'v, N>>],
    ) -> Result<(), FindManyError> {
        let tree = self.tree(ops);
        if queries.len() != hits.len() {
            return Err(FindManyError::LengthMismatch);
        }
        tree.first_overlap_many(queries, |at, slot| {
            // SAFETY: [W1] [H3]
            let hit = slot.map(|slot| unsafe { Hit::new(slot, self.version) });
            if let Some(place) = hits.get_mut(at) {
                *place = hit;
            }
        });
        Ok(())
    }

    /// Every notifier, owner by owner in order of registration, each ascending.
    pub fn iter(&self) -> AnyHits<'v> {
        AnyHits::new(self.version, Interval::FULL)
    }

    /// The number of notifiers of all owners.
    pub fn len(&self) -> usize {
        self.version.len as usize
    }

    /// Whether no owner has a notifier.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of notifiers of this owner.
    ///
    /// # Panics
    /// If the owner belongs to another index.
    #[track_caller]
    pub fn len_of<N>(&self, ops: &Ops<N>) -> usize {
        self.tree(ops).len() as usize
    }

    /// Verifies every invariant of the trees of all owners, and that the counts add up: for tests and diagnosis.
    ///
    /// Complexity: O(n).
    ///
    /// # Errors
    /// [`Corruption`] names the first invariant that does not hold.
    pub fn check(&self) -> Result<(), Corruption> {
        let (mut owner, mut len) = (0, 0);
        while let Some((found, tree)) = self.version.next_tree(owner) {
            tree.check().map_err(Corruption::of_tree)?;
            len += tree.len();
            let Some(next) = found.checked_add(1) else { break };
            owner = next;
        }
        if len == self.version.len { Ok(()) } else { Err(Corruption::COUNT) }
    }

    /// The number of this version.
    pub fn version(&self) -> u64 {
        self.version.seq
    }
}

impl<'v> IntoIterator for View<'v> {
    type Item = AnyHit<'v>;
    type IntoIter = AnyHits<'v>;

    fn into_iter(self) -> AnyHits<'v> {
        self.iter()
    }
}

/// Gives a way of reading the queries that need nothing but its newest view. The receiver is `self`,
/// by reference: `queries!(self)`, or `queries!(self mut)`.
macro_rules! queries {
    ($this:ident $($mutable:ident)?) => {
        /// [`View::find`] on the newest view.
        ///
        /// # Panics
        /// If the owner belongs to another index.
        #[inline]
        #[track_caller]
        pub fn find<N: Send + Sync>(
            & $($mutable)? $this,
            ops: &crate::Ops<N>,
            interval: impl Into<crate::Interval>,
        ) -> Option<crate::Hit<'_, N>> {
            $this.view().find(ops, interval)
        }

        /// [`View::find_all`] on the newest view.
        ///
        /// # Panics
        /// If the owner belongs to another index.
        #[track_caller]
        pub fn find_all<N: Send + Sync>(
            & $($mutable)? $this,
            ops: &crate::Ops<N>,
            interval: impl Into<crate::Interval>,
        ) -> crate::Hits<'_, N> {
            $this.view().find_all(ops, interval)
        }

        /// [`View::find_many`] on the newest view.
        ///
        /// # Errors
        /// [`FindManyError`](crate::FindManyError) if the slices differ in length.
        ///
        /// # Panics
        /// If the owner belongs to another index.
        #[track_caller]
        pub fn find_many<'v, N: Send + Sync>(
            &'v $($mutable)? $this,
            ops: &crate::Ops<N>,
            queries: &[crate::Interval],
            hits: &mut [Option<crate::Hit<'v, N>>],
        ) -> Result<(), crate::FindManyError> {
            $this.view().find_many(ops, queries, hits)
        }
    };
}
pub(crate) use queries;
