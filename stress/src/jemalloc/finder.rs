//! A finder: looks up random addresses of live allocations for as long as the round lasts, and judges each answer.
//!
//! Finds go in blocks. Before a block the addresses are chosen and the greatest version that has returned is read;
//! then the clock runs while the block is looked up, and nothing else is done meanwhile; then every answer is judged.
//! Three blocks of four are timed as a whole (throughput), the fourth find by find (percentiles; the clock's own cost
//! is in those). Beside finds, ranges are looked at as a whole, for holes and double covers, and now and then a view
//! is kept while versions come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::history::clock::StampClock;
use crate::jemalloc::checks::Check;
use crate::jemalloc::driver::Driver;
use crate::jemalloc::extent_index::{Answer, Cover, ExtentFinder, ExtentIndex, Way};
use crate::jemalloc::find_log::{FindLog, LoggedFind};
use crate::jemalloc::judge;
use crate::jemalloc::live::{Live, Place, Places};
use crate::jemalloc::mapping::PAGE;
use crate::jemalloc::regions::Regions;
use crate::latency::Latency;
use crate::span::Span;

/// Addresses in a block.
const BLOCK: usize = 32;
/// One block in so many is timed find by find.
const BLOCKS_PER_TIMED: u64 = 4;
/// One block in so many is asked twice of one view.
const BLOCKS_PER_STEADY: u64 = 256;
/// How long a view is kept at most, and how many versions it should see pass.
const STEADY: (Duration, u64) = (Duration::from_millis(2), 64);
/// Most pages of a region that are looked at in one go.
const RANGE_PAGES: u64 = 512;

/// Figures of one way of looking.
#[derive(Clone, Debug, Default)]
pub(crate) struct WayFigures {
    /// Finds in blocks that were timed as a whole, and for how long.
    pub(crate) find_count: u64,
    pub(crate) busy_ns: u64,
    /// Finds that were timed one by one.
    pub(crate) latency: Latency,
}

/// What a finder brings back from a round.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) ways: Vec<WayFigures>,
    pub(crate) log: FindLog,
    /// Answers about allocations that were freed meanwhile: near misses, on which nothing can be judged.
    pub(crate) raced: u64,
}

/// What finders share.
pub(crate) struct Hunt<'r, I: ExtentIndex> {
    pub(crate) driver: &'r Driver<I>,
    pub(crate) places: &'r Places,
    pub(crate) regions: &'r Regions,
    pub(crate) is_over: &'r AtomicBool,
    /// Finds that each finder logs at most.
    pub(crate) logged_finds: usize,
}

/// An address to look up, and why it must be found.
#[derive(Clone, Copy, Debug)]
struct Pick<'r> {
    place: &'r Place,
    live: Live,
    address: u64,
}

/// A finder at work.
pub(crate) struct Finder<'r, I: ExtentIndex> {
    hunt: &'r Hunt<'r, I>,
    finder: I::Finder<'r>,
    random: Xoshiro256PlusPlus,
    clock: StampClock,
    picks: Vec<Pick<'r>>,
    addresses: Vec<u64>,
    answers: Vec<Answer>,
    cover: Cover,
    findings: Findings,
}

impl<'r, I: ExtentIndex> Finder<'r, I> {
    /// A finder on the calling thread.
    pub(crate) fn new(hunt: &'r Hunt<'r, I>, finder: I::Finder<'r>, seed: u64) -> Self {
        Finder {
            hunt,
            finder,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            clock: StampClock::new(),
            picks: Vec::with_capacity(BLOCK),
            addresses: Vec::with_capacity(BLOCK),
            answers: Vec::with_capacity(BLOCK),
            cover: Cover::default(),
            findings: Findings {
                ways: vec![WayFigures::default(); I::WAYS.len()],
                log: FindLog::keeping(hunt.logged_finds),
                raced: 0,
            },
        }
    }

    /// Works until the round is over.
    pub(crate) fn run(mut self) -> Findings {
        let mut block = 0;
        // Relaxed: the flag only ends the loop; what is read afterwards is ordered by joining this thread.
        while !self.hunt.is_over.load(Ordering::Relaxed) {
            let way = (block / BLOCKS_PER_TIMED) as usize % I::WAYS.len();
            self.one_block(way, block);
            block += 1;
        }
        self.findings
    }

    fn one_block(&mut self, way: usize, block: u64) {
        self.pick();
        if self.picks.is_empty() {
            // Nothing is allocated yet.
            return std::thread::yield_now();
        }
        if block.is_multiple_of(BLOCKS_PER_STEADY) {
            self.look_twice(I::WAYS[way]);
        }
        let floor = self.hunt.driver.returned_version();
        let is_timed = block.is_multiple_of(BLOCKS_PER_TIMED);
        let time = if is_timed { self.find_timed(way) } else { self.find_block(way) };
        self.judge_finds(floor);
        let logged = |(pick, answer): (&Pick, &Answer)| LoggedFind { address: pick.address, answer: *answer, time };
        self.findings.log.push_block(self.picks.iter().zip(&self.answers).map(logged));
        self.look_at_allocation(I::WAYS[way]);
        self.look_at_region(I::WAYS[way]);
    }

    /// Chooses live allocations, and in each of them an address.
    fn pick(&mut self) {
        self.picks.clear();
        self.addresses.clear();
        let places = self.hunt.places.all();
        for _ in 0..2 * BLOCK {
            let place = &places[self.random.random_range(0..places.len())];
            if let Some(live) = place.look()
                && self.picks.len() < BLOCK
            {
                let address = self.random.random_range(live.span.start()..=live.span.last());
                self.picks.push(Pick { place, live, address });
                self.addresses.push(address);
            }
        }
    }

    /// Looks a block up and times it as a whole; returns the stamps of its beginning and its end.
    fn find_block(&mut self, way: usize) -> [u64; 2] {
        let (answers, figures) = (&mut self.answers, &mut self.findings.ways[way]);
        answers.clear();
        let begin = self.clock.start().0;
        self.finder.find_each(I::WAYS[way], &self.addresses, |answer| answers.push(answer));
        let end = self.clock.end();
        figures.busy_ns += self.clock.nanoseconds(begin, end);
        figures.find_count += answers.len() as u64;
        [begin, end]
    }

    /// Looks a block up and times each find.
    fn find_timed(&mut self, way: usize) -> [u64; 2] {
        let (answers, latency) = (&mut self.answers, &mut self.findings.ways[way].latency);
        answers.clear();
        let clock = &self.clock;
        let begin = clock.start().0;
        let mut one_begin = begin;
        self.finder.find_each(I::WAYS[way], &self.addresses, |answer| {
            latency.record(clock.nanoseconds(one_begin, clock.end()));
            answers.push(answer);
            one_begin = clock.start().0;
        });
        [begin, clock.end()]
    }

    /// Judges a block of answers; what is wrong with an allocation that was freed meanwhile is no mistake.
    fn judge_finds(&mut self, floor: u64) {
        let checks = &self.hunt.driver.checks;
        let mut live_count = 0;
        for (pick, answer) in self.picks.iter().zip(&self.answers) {
            if let Err(fault) = judge::fresh(answer, floor) {
                checks.fail(Check::Fresh, fault);
            }
            let holds = judge::holds(answer, pick.address, pick.live);
            let belongs = answer.found.as_ref().map_or(Ok(()), |found| judge::belongs(found, pick.live));
            if !pick.place.is_still(pick.live) {
                self.findings.raced += 1;
                continue;
            }
            live_count += 1;
            [(Check::Found, holds), (Check::Owner, belongs)]
                .into_iter()
                .filter_map(|(check, verdict)| verdict.err().map(|fault| (check, fault)))
                .for_each(|(check, fault)| checks.fail(check, fault));
        }
        checks.add(Check::Fresh, self.answers.len() as u64);
        checks.add(Check::Found, live_count);
        checks.add(Check::Owner, live_count);
    }

    /// The pages of one live allocation are covered exactly once.
    fn look_at_allocation(&mut self, way: Way) {
        let Pick { place, live, address } = self.picks[0];
        let range = Span::between(live.span.start() & !(PAGE - 1), live.span.last() | (PAGE - 1));
        let verdict = self.look(way, range, address);
        if place.is_still(live) {
            self.hunt.driver.checks.expect(Check::Unbroken, verdict.is_ok(), || verdict.unwrap_err());
        } else {
            self.findings.raced += 1;
        }
    }

    /// Some pages of what an arena was given and keeps are covered exactly once, in use or not.
    fn look_at_region(&mut self, way: Way) {
        let Some(region) = self.hunt.regions.get(self.random.random()) else {
            return;
        };
        let page_count = (region.last() - region.start() + 1) / PAGE;
        let first = self.random.random_range(0..page_count);
        let pages = self.random.random_range(1..=RANGE_PAGES.min(page_count - first));
        let start = region.start() + first * PAGE;
        let range = Span::between(start, start + pages * PAGE - 1);
        let inside = self.random.random_range(range.start()..=range.last());
        let verdict = self.look(way, range, inside);
        self.hunt.driver.checks.expect(Check::Unbroken, verdict.is_ok(), || verdict.unwrap_err());
    }

    fn look(&mut self, way: Way, range: Span, inside: u64) -> Result<(), String> {
        self.finder.cover(way, range, inside, &mut self.cover);
        judge::unbroken(range, &self.cover)
    }

    /// A view that is kept answers the same, whatever happens meanwhile.
    fn look_twice(&mut self, way: Way) {
        let driver = self.hunt.driver;
        let wait = || {
            let (begin, version) = (std::time::Instant::now(), driver.returned_version());
            while begin.elapsed() < STEADY.0 && driver.returned_version() < version + STEADY.1 {
                std::thread::yield_now();
            }
        };
        if let Some(same) = self.finder.steady(way, &self.addresses, wait) {
            driver.checks.expect(Check::Steady, same, || format!("a kept {} changed its answers", way.name()));
        }
    }
}
