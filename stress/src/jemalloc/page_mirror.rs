//! The source and its mirror: one generation for each page of the arenas' addresses, and what fillers made of them.
//!
//! Reading an extent's memory itself could fault while it is being unmapped, so the source is a table: each page has a
//! generation, raised inside each section over it. The mirror has, for some pages, the generation that a filler read.
//!
//! ```text
//!   directory -> [ block of 512 pages: generations | lock { entries } ]     a block is made when it is first named
//! ```
//!
//! The mirror's lock is one for each block. Callbacks, which run inside hooks, take one at a time; a hook that cuts an
//! extent off takes those of its range in the order of addresses (rules R5 and R6); a filler stays within one block.
//! So nobody waits in a circle, and whoever holds one calls neither jemalloc nor any code that waits.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::jemalloc::mapping::PAGE;
use crate::span::Span;

/// Pages of a block.
const BLOCK_PAGES: u64 = 512;
/// Bytes of a block: what a filler reads lies in one of them.
pub(crate) const BLOCK_BYTES: u64 = BLOCK_PAGES * PAGE;
/// Places for blocks; enough for 64 GiB of addresses.
const MOST_BLOCKS: usize = 1 << 15;
/// Places that fillers are told of.
const AIMS: usize = 8;
/// No entry. Generations begin at 1.
const NONE: u64 = 0;

/// Some pages, and what is mirrored of them.
#[derive(Debug)]
struct Block {
    number: u64,
    generations: Vec<AtomicU64>,
    entries: Mutex<Entries>,
}

/// What is mirrored of a block.
#[derive(Debug)]
struct Entries {
    generations: Vec<u64>,
    count: usize,
}

impl Entries {
    fn forget(&mut self, pages: Range<usize>) {
        if self.count == 0 {
            return;
        }
        for entry in &mut self.generations[pages] {
            self.count -= usize::from(*entry != NONE);
            *entry = NONE;
        }
    }

    fn fill(&mut self, pages: Range<usize>, generations: &[u64]) {
        for (entry, generation) in self.generations[pages].iter_mut().zip(generations) {
            self.count += usize::from(*entry == NONE);
            *entry = *generation;
        }
    }

    fn count_in(&self, pages: Range<usize>) -> usize {
        if self.count == 0 {
            return 0;
        }
        self.generations[pages].iter().filter(|entry| **entry != NONE).count()
    }
}

impl Block {
    fn new(number: u64) -> Self {
        Block {
            number,
            generations: (0..BLOCK_PAGES).map(|_| AtomicU64::new(1)).collect(),
            entries: Mutex::new(Entries { generations: vec![NONE; BLOCK_PAGES as usize], count: 0 }),
        }
    }

    fn generation(&self, page: usize) -> u64 {
        // Relaxed: who may rely on it has synchronised with the sections before, by `read_begin`, and with those
        // after, by the lock; anybody else finds out by `read_retry`.
        self.generations[page].load(Ordering::Relaxed)
    }
}

/// What became of what a filler read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It had to be thrown away.
    Retry,
    /// It is mirrored, and was not older than its pages.
    Filled,
    /// It is mirrored although it is older than its pages.
    Older(String),
}

/// The source and the mirror.
#[derive(Debug)]
pub(crate) struct PageMirror {
    directory: Vec<OnceLock<Box<Block>>>,
    aims: [AtomicU64; AIMS],
    aim_count: AtomicUsize,
}

impl Default for PageMirror {
    fn default() -> Self {
        let directory = (0..MOST_BLOCKS).map(|_| OnceLock::new()).collect();
        PageMirror { directory, aims: Default::default(), aim_count: AtomicUsize::new(0) }
    }
}

impl PageMirror {
    /// The block of this number. Always made, so that a callback and a filler meet at its lock even if it is new.
    fn block(&self, number: u64) -> &Block {
        let first = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 32;
        let places = (first..first + MOST_BLOCKS).map(|place| &self.directory[place % MOST_BLOCKS]);
        let mut blocks = places.map(|place| place.get_or_init(|| Box::new(Block::new(number))));
        blocks.find(|block| block.number == number).expect("the arenas stay below 64 GiB of addresses")
    }

    /// The pages of a range, block by block, ascending.
    fn parts(&self, span: Span) -> impl Iterator<Item = (&Block, Range<usize>)> {
        let (first, last) = (span.start() / PAGE, span.last() / PAGE);
        (first / BLOCK_PAGES..=last / BLOCK_PAGES).map(move |number| {
            let base = number * BLOCK_PAGES;
            let (from, to) = (first.max(base) - base, last.min(base + BLOCK_PAGES - 1) - base);
            (self.block(number), from as usize..to as usize + 1)
        })
    }

    /// The source changes: only inside a section over the range.
    pub(crate) fn raise(&self, span: Span) {
        for (block, pages) in self.parts(span) {
            // Relaxed: published by the end of the section.
            for page in &block.generations[pages] {
                page.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes down what mirrors the range: what a callback does.
    pub(crate) fn forget(&self, span: Span) {
        self.parts(span).for_each(|(block, pages)| block.entries.lock().forget(pages));
    }

    /// Takes down what mirrors the range, and keeps the locks: for what must be published before a filler looks again.
    pub(crate) fn forget_locked(&self, span: Span) -> LockedBlocks<'_> {
        let mut locked = LockedBlocks(Vec::new());
        for (block, pages) in self.parts(span) {
            let mut entries = block.entries.lock();
            entries.forget(pages);
            locked.0.push(entries);
        }
        locked
    }

    /// How many pages of the range are mirrored.
    pub(crate) fn count_in(&self, span: Span) -> usize {
        self.parts(span).map(|(block, pages)| block.entries.lock().count_in(pages)).sum()
    }

    /// Reads the source.
    pub(crate) fn read(&self, span: Span) -> Vec<u64> {
        self.parts(span).flat_map(|(block, pages)| pages.map(|page| block.generation(page))).collect()
    }

    /// Takes the lock of a range within one block, asks whether what was read may be old, and mirrors it if not.
    pub(crate) fn commit(&self, span: Span, read: &[u64], must_retry: impl FnOnce() -> bool) -> Commit {
        let Some((block, pages)) = self.parts(span).next() else { return Commit::Retry };
        let mut entries = block.entries.lock();
        if must_retry() {
            return Commit::Retry;
        }
        entries.fill(pages.clone(), read);
        let older = pages.zip(read).find(|(page, read)| block.generation(*page) != **read);
        older.map_or(Commit::Filled, |(page, read)| {
            let address = (block.number * BLOCK_PAGES + page as u64) * PAGE;
            Commit::Older(format!("page {address:#x} of generation {} as {read}", block.generation(page)))
        })
    }

    /// Compares all entries with their pages; how many there are, and the address of each that is wrong.
    pub(crate) fn compare(&self) -> (u64, Vec<u64>) {
        let (mut count, mut wrong) = (0, Vec::new());
        for block in self.directory.iter().filter_map(OnceLock::get) {
            let entries = block.entries.lock();
            let mirrored = entries.generations.iter().enumerate().filter(|(_, entry)| **entry != NONE);
            for (page, entry) in mirrored {
                count += 1;
                if *entry != block.generation(page) {
                    wrong.push((block.number * BLOCK_PAGES + page as u64) * PAGE);
                }
            }
        }
        (count, wrong)
    }

    /// Tells the fillers that something happens here.
    pub(crate) fn aim(&self, address: u64) {
        // Relaxed: a hint.
        let place = self.aim_count.fetch_add(1, Ordering::Relaxed) % AIMS;
        self.aims[place].store(address, Ordering::Relaxed);
    }

    /// Where something happened: lately, or some steps before that.
    pub(crate) fn aimed(&self, steps_back: usize) -> u64 {
        // Relaxed: a hint.
        let place = self.aim_count.load(Ordering::Relaxed).wrapping_sub(1 + steps_back) % AIMS;
        self.aims[place].load(Ordering::Relaxed)
    }
}

/// The locks of some blocks, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct LockedBlocks<'m>(Vec<MutexGuard<'m, Entries>>);

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(first: u64, last: u64) -> Span {
        Span::between(first * PAGE, last * PAGE + PAGE - 1)
    }

    #[test]
    fn what_is_forgotten_is_gone_across_blocks_and_nothing_else() {
        let mirror = PageMirror::default();
        for range in [pages(508, 511), pages(512, 515)] {
            let read = mirror.read(range);
            assert_eq!((read.as_slice(), mirror.commit(range, &read, || false)), ([1; 4].as_slice(), Commit::Filled));
        }
        assert_eq!((mirror.count_in(pages(0, 2000)), mirror.compare()), (8, (8, Vec::new())));
        mirror.forget(pages(510, 513));
        assert_eq!((mirror.count_in(pages(0, 2000)), mirror.count_in(pages(510, 513))), (4, 0));
        drop(mirror.forget_locked(pages(0, 2000)));
        assert_eq!(mirror.compare(), (0, Vec::new()));
    }

    #[test]
    fn what_is_old_is_seen_when_it_is_committed_and_afterwards() {
        let mirror = PageMirror::default();
        let range = pages(3, 4);
        let read = mirror.read(range);
        assert_eq!(mirror.commit(range, &read, || true), Commit::Retry);
        assert_eq!((mirror.count_in(range), mirror.commit(range, &read, || false)), (0, Commit::Filled));
        mirror.raise(pages(4, 4));
        assert_eq!(mirror.compare(), (2, vec![4 * PAGE]));
        assert!(matches!(mirror.commit(range, &read, || false), Commit::Older(_)));
        assert_eq!(mirror.read(range), [1, 2]);
    }

    #[test]
    fn aims_are_remembered_for_some_steps() {
        let mirror = PageMirror::default();
        (1..=20).for_each(|address| mirror.aim(address));
        assert_eq!((mirror.aimed(0), mirror.aimed(AIMS - 1)), (20, 13));
    }
}
