//! The naive model: a sorted list, and every query as its definition says.

use super::super::{EntryPtr, Slot, TreeRef};
use crate::interval::Interval;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Item {
    pub(super) interval: Interval,
    pub(super) serial: u64,
    pub(super) entry: EntryPtr,
}

#[derive(Clone, Default, Debug)]
pub(super) struct Model {
    pub(super) items: Vec<Item>,
}

impl Model {
    pub(super) fn insert(&mut self, item: Item) {
        self.items.push(item);
        self.sort();
    }

    pub(super) fn sort(&mut self) {
        self.items.sort_by_key(|item| (item.interval.start(), item.serial));
    }

    pub(super) fn matching(&self, greatest_start: u64, least_last: u64) -> Vec<Item> {
        let fits = |item: &&Item| item.interval.start() <= greatest_start && item.interval.last() >= least_last;
        self.items.iter().filter(fits).copied().collect()
    }

    pub(super) fn first_overlap(&self, query: Interval) -> Option<Item> {
        self.items.iter().find(|item| item.interval.overlaps(query)).copied()
    }

    pub(super) fn first_after(&self, address: u64) -> Option<Item> {
        self.items.iter().find(|item| item.interval.start() > address).copied()
    }

    pub(super) fn last_before(&self, address: u64) -> Option<Item> {
        self.items.iter().rfind(|item| item.interval.start() < address).copied()
    }

    pub(super) fn gap_at(&self, address: u64) -> Option<Interval> {
        let (mut start, mut last) = (0, u64::MAX);
        for Item { interval, .. } in &self.items {
            if interval.contains(address) {
                return None;
            }
            if interval.last() < address {
                start = start.max(interval.last() + 1);
            } else {
                last = last.min(interval.start() - 1);
            }
        }
        Some(Interval::from_ordered(start, last))
    }

    /// Verifies that the tree answers every question about `query` and its ends as the model does.
    pub(super) fn verify(&self, tree: TreeRef<'_>, query: Interval) {
        let (start, last) = (query.start(), query.last());
        assert_eq!(tree.first_overlap(query).map(item), self.first_overlap(query), "first overlap of {query}");
        let overlapping: Vec<Item> = tree.matching(last, start).map(item).collect();
        assert_eq!(overlapping, self.matching(last, start), "overlaps of {query}");
        let containing: Vec<Item> = tree.matching(start, last).map(item).collect();
        assert_eq!(containing, self.matching(start, last), "those that cover {query}");
        for address in [start, last] {
            assert_eq!(tree.first_after(address).map(item), self.first_after(address), "after {address:#x}");
            assert_eq!(tree.last_before(address).map(item), self.last_before(address), "before {address:#x}");
            assert_eq!(tree.gap_at(address), self.gap_at(address), "gap at {address:#x}");
        }
    }

    /// Verifies the content of the tree, and its answers at all ends of its intervals and beside them.
    pub(super) fn verify_all(&self, tree: TreeRef<'_>) {
        assert_eq!(tree.check(), Ok(()));
        assert_eq!(tree.len(), self.items.len() as u64);
        let all: Vec<Item> = tree.matching(u64::MAX, 0).map(item).collect();
        assert_eq!(all, self.items);
        for &Item { interval, serial, .. } in &self.items {
            let found = tree.locate(interval.start(), serial).map(|slot| (slot.interval(), slot.entry));
            assert_eq!(found.map(|(found, _)| found), Some(interval));
            assert!(tree.locate(interval.start(), serial + (1 << 40)).is_none());
        }
        let queries = self.telling_queries();
        queries.iter().for_each(|&query| self.verify(tree, query));
        self.verify_many(tree, &queries);
    }

    pub(super) fn verify_many(&self, tree: TreeRef<'_>, queries: &[Interval]) {
        let mut answers = vec![None; queries.len()];
        tree.first_overlap_many(queries, |index, found| {
            assert!(answers[index].is_none(), "one answer a query");
            answers[index] = Some(found.map(item));
        });
        for (&query, answer) in queries.iter().zip(answers) {
            assert_eq!(answer, Some(self.first_overlap(query)), "{query} among many");
        }
    }

    fn telling_queries(&self) -> Vec<Interval> {
        let mut addresses: Vec<u64> = [0, 1, u64::MAX - 1, u64::MAX].into();
        for Item { interval, .. } in &self.items {
            let (start, last) = (interval.start(), interval.last());
            addresses.extend([start.saturating_sub(1), start, last, last.saturating_add(1)]);
        }
        addresses.sort_unstable();
        addresses.dedup();
        let points = addresses.iter().map(|&address| Interval::point(address));
        let spans = addresses.windows(2).map(|pair| Interval::from_ordered(pair[0], pair[1]));
        points.chain(spans).chain([Interval::FULL]).collect()
    }
}

pub(super) fn item(slot: Slot<'_>) -> Item {
    // SAFETY: [T1] The entries of a test live until its end.
    let serial = unsafe { slot.entry.0.as_ref() }.serial.get();
    Item { interval: slot.interval(), serial, entry: slot.entry }
}
