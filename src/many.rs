//! Many notifiers that are to be inserted at once: allocated beforehand, so that the insertion itself cannot fail half-way.

use std::collections::TryReserveError;
use std::ptr::NonNull;

use crate::interval::Interval;
use crate::record::{Header, Kind, NewRecord};
use crate::registration::Registration;

/// Records for all items, and room for all results.
pub(crate) struct Many<N: Send + Sync + 'static> {
    /// Empty, with the room to take all items back.
    items: Vec<(Interval, N)>,
    records: Vec<(Interval, NewRecord<N>)>,
    registrations: Vec<Registration<N>>,
    /// By start; among equal starts as given, which is the order of insertion.
    pub(crate) sorted: Vec<(Interval, NonNull<Header>)>,
}

impl<N: Send + Sync + 'static> Many<N> {
    /// Records for all items, or the items if there is no memory.
    pub(crate) fn allocate(
        owner: u64,
        kind: &'static Kind,
        items: Vec<(Interval, N)>,
    ) -> Result<Self, Vec<(Interval, N)>> {
        let mut many = Many { items, records: Vec::new(), registrations: Vec::new(), sorted: Vec::new() };
        if many.make_room().is_err() {
            return Err(many.into_items());
        }
        // From the last to the first, so that each comes off the end, and goes back there.
        while let Some((interval, payload)) = many.items.pop() {
            match NewRecord::allocate(owner, kind, payload) {
                Ok(record) => many.records.push((interval, record)),
                Err(payload) => {
                    many.items.push((interval, payload));
                    return Err(many.into_items());
                }
            }
        }
        many.sort();
        Ok(many)
    }

    fn make_room(&mut self) -> Result<(), TryReserveError> {
        let count = self.items.len();
        self.records.try_reserve_exact(count)?;
        self.registrations.try_reserve_exact(count)?;
        self.sorted.try_reserve_exact(count)
    }

    /// Sorts in place, without memory: the position decides among equal starts.
    fn sort(&mut self) {
        for (position, (interval, record)) in self.records.iter().rev().enumerate() {
            record.set_position(position as u64);
            self.sorted.push((*interval, record.as_header()));
        }
        if self.sorted.is_sorted_by_key(|(interval, _)| interval.start()) {
            return;
        }
        let position = |record: &NonNull<Header>| {
            // SAFETY: the records are this value's own, and not yet published.
            unsafe { record.as_ref() }.location()
        };
        self.sorted.sort_unstable_by_key(|(interval, record)| (interval.start(), position(record)));
    }

    /// The records in the order in which they were given.
    pub(crate) fn given(&self) -> impl Iterator<Item = (Interval, NonNull<Header>)> {
        self.records.iter().rev().map(|(interval, record)| (*interval, record.as_header()))
    }

    pub(crate) fn into_registrations(
        self,
        registration: impl Fn(NewRecord<N>, Interval) -> Registration<N>,
    ) -> Vec<Registration<N>> {
        let mut registrations = self.registrations;
        registrations.extend(self.records.into_iter().rev().map(|(interval, record)| registration(record, interval)));
        registrations
    }

    /// The items as they were given; needs no memory.
    pub(crate) fn into_items(mut self) -> Vec<(Interval, N)> {
        while let Some((interval, record)) = self.records.pop() {
            self.items.push((interval, record.into_payload()));
        }
        self.items
    }
}
