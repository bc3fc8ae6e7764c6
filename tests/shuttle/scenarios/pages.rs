//! A source of two pages with one generation each, mirrors of it, and the invariant of collision-retry.
//!
//! Mutators raise generations inside a section over the pages; fillers copy them into a notifier's mirror by begin and
//! retry. From the return of `invalidate` to the end of its section no mirror has an entry of its range; and what is
//! filled is the page's newest generation, while nobody is inside a section over it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex as PlainMutex};

use notifier_index::{
    BeginError, Held, Interval, Invalidating, Invalidation, Notifier, NotifierIndex, Ops, Registration, WouldBlock,
};
use shuttle::sync::Mutex;

use crate::near;
use crate::support::{UNMAP, step};

pub(crate) const PAGES: usize = 2;

/// What fillers have copied, under the user's lock.
#[derive(Default)]
pub(crate) struct Mirror(pub(crate) Mutex<[Option<u64>; PAGES]>);

/// The payload: takes down what it mirrors of the range.
pub(crate) struct Owner {
    pub(crate) mirror: Arc<Mirror>,
    /// Its removal has been waited for.
    pub(crate) is_gone: AtomicBool,
}

impl Notifier for Owner {
    fn invalidate(&self, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
        assert!(!self.is_gone.load(SeqCst), "called after the wait for its removal");
        let mut entries = self.mirror.0.lock().unwrap();
        let torn = pages(told.interval()).filter(|page| entries[*page].take().is_some()).count();
        near::miss_times("collisions", torn as u64);
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) index: NotifierIndex,
    pub(crate) ops: Ops<Owner>,
    generations: [AtomicU64; PAGES],
    /// Sections between the return of `invalidate` and their end.
    inside: [AtomicU64; PAGES],
    mirrors: PlainMutex<Vec<Arc<Mirror>>>,
}

pub(crate) fn pages(interval: Interval) -> impl Iterator<Item = usize> {
    (interval.start() as usize)..=(interval.last().min(PAGES as u64 - 1) as usize)
}

fn raise(counters: &[AtomicU64; PAGES], range: Interval) {
    for page in pages(range) {
        counters[page].fetch_add(1, SeqCst);
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let index = NotifierIndex::new();
        let ops = index.register_ops();
        World {
            index,
            ops,
            generations: Default::default(),
            inside: Default::default(),
            mirrors: PlainMutex::default(),
        }
    }

    /// A mirror that the invariant is checked of.
    pub(crate) fn mirror(&self) -> Arc<Mirror> {
        let mirror = Arc::<Mirror>::default();
        self.mirrors.lock().unwrap().push(Arc::clone(&mirror));
        mirror
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner { mirror: self.mirror(), is_gone: AtomicBool::new(false) }
    }

    pub(crate) fn insert(&self, bounds: Interval) -> Registration<Owner> {
        self.index.insert(&self.ops, bounds, self.owner()).unwrap()
    }

    pub(crate) fn check_nothing_mirrored(&self, range: Interval, when: &str) {
        let mirrors = self.mirrors.lock().unwrap().clone();
        for mirror in mirrors {
            let entries = mirror.0.lock().unwrap();
            for page in pages(range) {
                assert!(entries[page].is_none(), "{when} an entry of page {page} is there, section {range}");
            }
        }
    }

    /// Begins a section, and raises the generations inside it.
    pub(crate) fn begin(&self, range: Interval) -> Invalidation<'_> {
        let section = self.index.invalidate(range, UNMAP);
        self.check_nothing_mirrored(range, "when invalidate returned");
        raise(&self.inside, range);
        step();
        raise(&self.generations, range);
        section
    }

    pub(crate) fn end(&self, section: Invalidation<'_>) {
        let range = section.interval();
        self.check_nothing_mirrored(range, "inside the section");
        for page in pages(range) {
            self.inside[page].fetch_sub(1, SeqCst);
        }
        drop(section);
    }

    pub(crate) fn mutate(&self, range: Interval) {
        let section = self.begin(range);
        step();
        self.end(section);
    }

    /// Copies a range of the source; what `read_begin` said, where it refused.
    pub(crate) fn fill(&self, held: &Held<Owner>, range: Interval) -> Result<(), BeginError> {
        let ticket = held.read_begin(range)?;
        let read = self.generations.each_ref().map(|generation| generation.load(SeqCst));
        step();
        let mut entries = held.mirror.0.lock().unwrap();
        if held.read_retry(ticket) {
            near::miss("retries");
            return Ok(());
        }
        for page in pages(range) {
            assert_eq!(self.inside[page].load(SeqCst), 0, "filled page {page} inside a section");
            assert_eq!(read[page], self.generations[page].load(SeqCst), "filled an old generation of page {page}");
            entries[page] = Some(read[page]);
        }
        near::miss("fills");
        Ok(())
    }

    /// What must hold when all is over.
    pub(crate) fn check_quiet(&self) {
        let stats = self.index.stats();
        assert_eq!((stats.sections_active, self.index.snapshot().view().check()), (0, Ok(())));
        near::miss_times("waits", stats.read_begin_waits);
        for mirror in self.mirrors.lock().unwrap().iter() {
            let entries = mirror.0.lock().unwrap();
            for (page, entry) in entries.iter().enumerate() {
                let newest = self.generations[page].load(SeqCst);
                assert!(entry.is_none_or(|entry| entry == newest), "page {page} is stale for ever");
            }
        }
    }
}
