//! What changed between two versions, without looking at what both share.

use std::fmt;
use std::iter::FusedIterator;

use crate::error::ForeignSnapshot;
use crate::hit::AnyHit;
use crate::snapshot::Snapshot;
use crate::tree::{TreeRef, difference};
use crate::version::Version;

/// What became of one notifier from one version to another: it was inserted, removed, or given other bounds.
#[derive(Clone, Copy, Debug)]
pub struct Change<'v> {
    before: Option<AnyHit<'v>>,
    after: Option<AnyHit<'v>>,
}

impl<'v> Change<'v> {
    /// The notifier as the one version has it; `None` if it was inserted after that.
    pub fn before(&self) -> Option<AnyHit<'v>> {
        self.before
    }

    /// The notifier as the other version has it; `None` if it was removed before that.
    pub fn after(&self) -> Option<AnyHit<'v>> {
        self.after
    }

    /// As it is, or as it was last.
    fn hit(&self) -> Option<AnyHit<'v>> {
        self.after.or(self.before)
    }
}

/// The changes between two versions: see [`Snapshot::changes_to`].
#[must_use = "iterators are lazy and do nothing unless consumed"]
#[derive(Clone)]
pub struct Changes<'v>(std::vec::IntoIter<Change<'v>>);

impl<'v> Iterator for Changes<'v> {
    type Item = Change<'v>;

    fn next(&mut self) -> Option<Change<'v>> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Changes<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl ExactSizeIterator for Changes<'_> {}
impl FusedIterator for Changes<'_> {}

impl fmt::Debug for Changes<'_> {
    /// Lists the changes that are still to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl Snapshot {
    /// What changed from this version to that of `newer`: each notifier that was inserted, removed or given other bounds, once,
    /// owner by owner in order of registration, ascending by where it is, or was last.
    ///
    /// ```
    /// use notifier_index::{Interval, NotifierIndex};
    ///
    /// let index = NotifierIndex::new();
    /// let ops = index.register_passive_ops::<&str>();
    /// let (stays, moves) = (index.insert(&ops, 1, "stays").unwrap(), index.insert(&ops, 2, "moves").unwrap());
    /// let before = index.snapshot();
    /// moves.update(5)?;
    /// let _new = index.insert(&ops, 9, "comes").unwrap();
    /// let after = index.snapshot();
    ///
    /// let changes: Vec<_> = before.changes_to(&after)?.map(|change| {
    ///     (change.before().map(|hit| hit.start()), change.after().map(|hit| hit.start()))
    /// }).collect();
    /// assert_eq!(changes, [(Some(2), Some(5)), (None, Some(9))]);
    /// assert_eq!(after.changes_to(&before)?.count(), 2, "it works both ways");
    /// # drop(stays);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Consistency: both versions never change. Whatever happened and was undone in between is not told.
    ///
    /// Complexity: O(c log n) for c changes: what both versions share is skipped by whole subtrees; and O(m) for m owners that have
    /// notifiers. It allocates room for the changes.
    ///
    /// Blocking: never.
    ///
    /// # Errors
    /// [`ForeignSnapshot`] if the snapshots are of different indexes.
    pub fn changes_to<'v>(&'v self, newer: &'v Snapshot) -> Result<Changes<'v>, ForeignSnapshot> {
        if !self.engine().is_same(newer.engine()) {
            return Err(ForeignSnapshot);
        }
        Ok(Changes(changes_between(self.version(), newer.version()).into_iter()))
    }
}

/// Which of two versions have notifiers of an owner, and the owner's number.
type Owned<'v> = Option<(u64, TreeRef<'v>)>;

fn changes_between<'v>(one: &'v Version, other: &'v Version) -> Vec<Change<'v>> {
    let (mut changes, mut owner) = (Vec::new(), Some(0));
    while let Some(from) = owner {
        let (ours, theirs): (Owned<'v>, Owned<'v>) = (one.next_tree(from), other.next_tree(from));
        let Some(next) = [ours, theirs].into_iter().flatten().map(|(number, _)| number).min() else { break };
        add_changes(&mut changes, (one, one.tree(next)), (other, other.tree(next)));
        owner = next.checked_add(1);
    }
    changes
}

/// Adds the changes of one owner.
fn add_changes<'v>(
    changes: &mut Vec<Change<'v>>,
    (one, ours): (&'v Version, TreeRef<'v>),
    (other, theirs): (&'v Version, TreeRef<'v>),
) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    difference(ours, theirs, |slot| gone.push(AnyHit::new(slot, one)), |slot| come.push(AnyHit::new(slot, other)));
    // One that moved is in both lists, wherever it stands there.
    gone.sort_unstable_by_key(AnyHit::serial);
    come.sort_unstable_by_key(AnyHit::serial);
    let first = changes.len();
    let mut come = come.into_iter().peekable();
    for before in gone {
        while let Some(new) = come.next_if(|new| new.serial() < before.serial()) {
            changes.push(Change { before: None, after: Some(new) });
        }
        let after = come.next_if(|new| new.serial() == before.serial());
        changes.push(Change { before: Some(before), after });
    }
    changes.extend(come.map(|new| Change { before: None, after: Some(new) }));
    changes[first..].sort_unstable_by_key(|change| change.hit().map(|hit| (hit.start(), hit.serial())));
}

#[cfg(test)]
mod tests {
    use crate::tree::tests::visits;
    use crate::{Interval, NotifierIndex};

    /// Nodes that are looked at: the paths to what changed in both trees, and their neighbours where a cursor comes in.
    #[test]
    fn what_both_share_is_not_looked_at() {
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops::<u64>();
        let all = index.insert_many(&ops, (0..20_000).map(|at| (Interval::point(at * 16), at))).unwrap();
        for changed in [0, 1, 10, 100] {
            let before = index.snapshot();
            for at in 0..changed {
                let which = at * 7919 % 20_000;
                all[which as usize].update(Interval::point(which * 16 + 1 + changed % 8)).unwrap();
            }
            let (after, height) = (index.snapshot(), index.stats().tree_height);
            let (visits, count) = visits::of(|| before.changes_to(&after).unwrap().len() as u64);
            let visited: u64 = visits.iter().sum();
            assert_eq!(count, changed);
            assert!(visited <= 2 + changed * height * 6, "{visited} nodes for {changed} changes");
        }
    }
}
