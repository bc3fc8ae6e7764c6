//! The source and its mirrors: a few pages with one generation each, and what fillers have copied of them.
//!
//! Two things hold throughout (they are what collision-retry promises):
//!
//! - from the return of `invalidate` to the end of the section no mirror has an entry of its range;
//! - what is committed is the page's newest generation, and nobody is inside a section over it.
//!
//! There is one mirror for each place of a registration, which the notifiers there inherit from one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;

use super::faults::Faults;
use crate::span::Span;

/// So few that everybody meets.
pub(crate) const PAGES: u64 = 12;
/// Places for registrations of notifiers that mirror pages.
pub(crate) const PAGE_SLOTS: usize = 3;
/// Address of the first page; a page is one address.
const FIRST: u64 = 1 << 52;

/// The span of some pages.
pub(crate) fn pages(first: u64, last: u64) -> Span {
    Span::between(FIRST + first, FIRST + last.min(PAGES - 1))
}

/// The places in the tables that belong to a range of addresses, as far as it has pages.
fn places(range: Span) -> std::ops::Range<usize> {
    let place = |address: u64| address.saturating_sub(FIRST).min(PAGES) as usize;
    place(range.start())..place(range.last().saturating_add(1))
}

/// What fillers have copied, under the user's lock.
#[derive(Debug, Default)]
pub(crate) struct Mirror(pub(crate) Mutex<Entries>);

/// The entries of a mirror: generations.
#[derive(Debug, Default)]
pub(crate) struct Entries([Option<u64>; PAGES as usize]);

impl Entries {
    /// Takes down what mirrors the range; how many entries that were.
    pub(crate) fn tear_down(&mut self, range: Span) -> u64 {
        self.0[places(range)].iter_mut().filter_map(Option::take).count() as u64
    }

    /// Takes down everything outside the range.
    pub(crate) fn keep_only(&mut self, range: Span) {
        let kept = places(range);
        self.0.iter_mut().enumerate().filter(|(place, _)| !kept.contains(place)).for_each(|(_, entry)| *entry = None);
    }
}

/// The source, and all mirrors.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    generations: [AtomicU64; PAGES as usize],
    /// Mutators between the return of `invalidate` and the end of the section.
    inside: [AtomicU64; PAGES as usize],
    mirrors: [Arc<Mirror>; PAGE_SLOTS],
}

impl Pages {
    pub(crate) fn mirror(&self, slot: usize) -> Arc<Mirror> {
        Arc::clone(&self.mirrors[slot])
    }

    pub(crate) fn enter(&self, range: Span) {
        self.inside[places(range)].iter().for_each(|count| _ = count.fetch_add(1, SeqCst));
    }

    pub(crate) fn raise(&self, range: Span) {
        self.generations[places(range)].iter().for_each(|generation| _ = generation.fetch_add(1, SeqCst));
    }

    pub(crate) fn leave(&self, range: Span) {
        self.inside[places(range)].iter().for_each(|count| _ = count.fetch_sub(1, SeqCst));
    }

    /// Reads the source.
    pub(crate) fn read(&self, range: Span) -> Vec<u64> {
        self.generations[places(range)].iter().map(|generation| generation.load(SeqCst)).collect()
    }

    /// Fills a mirror, whose lock is held and whose ticket has not gone stale.
    pub(crate) fn commit(&self, entries: &mut Entries, range: Span, read: &[u64], faults: &Faults) {
        for (place, read) in places(range).zip(read) {
            let (inside, now) = (self.inside[place].load(SeqCst), self.generations[place].load(SeqCst));
            faults.expect(inside == 0, || format!("page {place} is filled inside a section over it"));
            faults.expect(*read == now, || format!("page {place} is filled with generation {read}, it has {now}"));
            entries.0[place] = Some(*read);
        }
    }

    /// Inside a section nothing of its range is mirrored.
    pub(crate) fn check_cleared(&self, range: Span, when: &str, faults: &Faults) {
        for mirror in &self.mirrors {
            let entries = mirror.0.lock();
            let place = places(range).find(|place| entries.0[*place].is_some());
            faults.expect(place.is_none(), || format!("page {} is mirrored {when} over {range:?}", place.unwrap_or(0)));
        }
    }

    /// At rest, what is mirrored is what the pages are.
    pub(crate) fn check_at_rest(&self, faults: &Faults) {
        for mirror in &self.mirrors {
            for (place, entry) in mirror.0.lock().0.iter().enumerate() {
                let now = self.generations[place].load(SeqCst);
                faults.expect(entry.is_none_or(|entry| entry == now), || {
                    format!("at rest page {place} is mirrored as {entry:?}, it has {now}")
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_entry_is_seen_inside_a_section_and_at_rest() {
        let (source, faults) = (Pages::default(), Faults::default());
        let (range, mirror) = (pages(3, 4), source.mirror(1));
        let read = source.read(range);
        source.commit(&mut mirror.0.lock(), range, &read, &faults);
        source.check_at_rest(&faults);
        source.check_cleared(pages(5, 99), "elsewhere", &faults);
        assert_eq!(faults.count(), 0);
        source.check_cleared(range, "inside", &faults);
        assert_eq!(faults.count(), 1);
        source.raise(pages(4, 4));
        source.check_at_rest(&faults);
        assert_eq!(faults.count(), 2);
        source.commit(&mut mirror.0.lock(), range, &read, &faults);
        assert_eq!(faults.count(), 3);
        assert_eq!(mirror.0.lock().tear_down(Span::FULL), 2);
    }

    #[test]
    fn a_page_that_is_filled_inside_a_section_is_seen() {
        let (source, faults) = (Pages::default(), Faults::default());
        let read = source.read(pages(0, 0));
        source.enter(pages(0, 2));
        source.commit(&mut source.mirror(0).0.lock(), pages(0, 0), &read, &faults);
        assert_eq!(faults.count(), 1);
        source.leave(pages(0, 2));
        source.mirror(0).0.lock().keep_only(pages(1, 5));
        source.check_cleared(Span::FULL, "at last", &faults);
        assert_eq!(faults.count(), 1);
    }
}
