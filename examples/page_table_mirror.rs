//! The kernel's protocol, step by step: a page table, and a device that keeps a mirror of it.
//!
//! Three parties work at once and none of them stops the others:
//!
//! - the *source*: a page table, changed without asking anybody's lock;
//! - the *mutator* who changes it, and brackets each change with a section (`invalidate` .. drop);
//! - the *filler* who copies entries to the mirror: `read_begin`, read, lock, `read_retry`, and only then fill.
//!
//! The promise: an entry made from the old source never survives, or appears, inside a section over it, nor afterwards.
//!
//! Run with `cargo run --example page_table_mirror`.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use notifier_index::{
    BeginError, Event, Interval, IntervalError, Invalidating, Notifier, NotifierIndex, Reason, Registration, WouldBlock,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const PAGE_BYTES: u64 = 0x1000;
const PAGE_COUNT: u64 = 16;

/// The addresses of the pages `first ..= last`.
fn pages(first: u64, last: u64) -> Result<Interval, IntervalError> {
    Interval::new(first * PAGE_BYTES, last * PAGE_BYTES + (PAGE_BYTES - 1))
}

/// The source: which frame each page is mapped to. Page 5 begins at frame 105, is moved to 205, then 305, ...
struct PageTable {
    frames: Vec<AtomicU64>,
}

impl PageTable {
    fn new() -> Self {
        PageTable { frames: (0..PAGE_COUNT).map(|page| AtomicU64::new(100 + page)).collect() }
    }

    fn frame(&self, page: u64) -> u64 {
        self.frames[page as usize].load(Ordering::Relaxed)
    }

    /// The mutator. The section comes first and ends last; between the two the source may change as it likes.
    fn migrate(&self, index: &NotifierIndex, first: u64, last: u64) -> Result<(), IntervalError> {
        let section = index.invalidate(pages(first, last)?, Event::new(Reason::Migrate));
        // From here on no mirror has an entry of these pages, and none can be filled.
        for page in first..=last {
            self.frames[page as usize].fetch_add(100, Ordering::Relaxed);
        }
        drop(section);
        Ok(())
    }
}

/// The mirror: what the device believes, page to frame. Its mutex is "the user's lock" of the protocol.
struct Mirror {
    entries: Mutex<BTreeMap<u64, u64>>,
}

impl Mirror {
    fn new() -> Self {
        Mirror { entries: Mutex::new(BTreeMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        // A map of numbers is sound whatever panicked while it was locked.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tear_down(entries: &mut BTreeMap<u64, u64>, range: Interval) {
    entries.retain(|page, _| !range.contains(page * PAGE_BYTES));
}

impl Notifier for Mirror {
    /// The library has raised the generation before this call: a filler that takes the lock after us sees it and retries,
    /// one that had the lock before us has filled already, and we tear its entry down.
    fn invalidate(&self, invalidating: &Invalidating<'_>) -> Result<(), WouldBlock> {
        let mut entries = match self.entries.try_lock() {
            Ok(entries) => entries,
            Err(_) if invalidating.may_block() => self.lock(),
            Err(_) => return Err(WouldBlock),
        };
        tear_down(&mut entries, invalidating.interval());
        Ok(())
    }
}

/// The filler: copies one page to the mirror, as often as it takes. `meanwhile` runs between reading and locking, so
/// that this example can put a collision there. Returns the number of attempts.
fn fill(
    mirror: &Registration<Mirror>,
    table: &PageTable,
    page: u64,
    mut meanwhile: impl FnMut(u32),
) -> Result<u32, BeginError> {
    for attempt in 1.. {
        // 1. Wait for the sections over this page that are active now, and for no others.
        let ticket = mirror.read_begin(Interval::point(page * PAGE_BYTES))?;
        // 2. Read the source, without any lock. What is read may be old as soon as it is read.
        let frame = table.frame(page);
        meanwhile(attempt);
        // 3. Lock. 4. Ask. 5. Fill only if nothing happened. The ticket is used up by asking: a second try needs a new one.
        let mut entries = mirror.payload().lock();
        if !mirror.read_retry(ticket) {
            entries.insert(page, frame);
            return Ok(attempt);
        }
        // 6. Unlock before the next attempt: the next `read_begin` may wait for a section, and its callback for this lock.
        drop(entries);
    }
    unreachable!("more than four thousand million collisions")
}

fn show(what: &str, mirror: &Registration<Mirror>) {
    println!("    {what}: mirror {:?}", mirror.payload().lock());
}

fn fill_quietly(mirror: &Registration<Mirror>, table: &PageTable) -> Outcome {
    println!("1. The filler copies pages 4 to 7 while nothing else happens.");
    for page in 4..=7 {
        fill(mirror, table, page, |_| ())?;
    }
    show("filled", mirror);
    Ok(())
}

fn invalidate_some(index: &NotifierIndex, mirror: &Registration<Mirror>, table: &PageTable) -> Outcome {
    println!("2. The mutator migrates pages 5 and 6: the callback tears their entries down, the others stay.");
    table.migrate(index, 5, 6)?;
    show("after the section", mirror);
    Ok(())
}

fn collide(index: &NotifierIndex, mirror: &Registration<Mirror>, table: &PageTable) -> Outcome {
    println!("3. A collision: page 5 is migrated just after the filler has read it.");
    let mut migrated = Ok(());
    let attempts = fill(mirror, table, 5, |attempt| {
        println!("    attempt {attempt}: the filler has read the page table (frame {})", table.frame(5));
        if attempt == 1 {
            // On a thread of its own, as a mutator would be, and over before the filler goes on.
            migrated = thread::scope(|scope| {
                scope.spawn(|| table.migrate(index, 5, 5)).join().expect("migrating does not panic")
            });
            println!("    ... and now it is migrated to frame {}: what was read is old", table.frame(5));
        }
    })?;
    migrated?;
    show(&format!("filled after {attempts} attempts, not one stale entry between"), mirror);
    assert_eq!(mirror.payload().lock().get(&5), Some(&table.frame(5)), "the mirror has the new frame");
    Ok(())
}

fn wait_precisely(index: &NotifierIndex, mirror: &Registration<Mirror>, table: &PageTable) -> Outcome {
    println!("4. Waiting is precise: a slow section over page 7 holds up fillers of page 7 and nobody else.");
    let slow = Duration::from_millis(50);
    let (begun, has_begun) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let section = pages(7, 7).map(|range| index.invalidate(range, Event::new(Reason::Protect)));
            let _ = begun.send(());
            thread::sleep(slow);
            drop(section);
        });
        has_begun.recv()?;
        let before = Instant::now();
        fill(mirror, table, 4, |_| ())?;
        println!("    page 4 was filled after {:?}", before.elapsed());
        let refused = mirror.read_begin_timeout(Interval::point(7 * PAGE_BYTES), Duration::from_millis(1));
        println!("    page 7, with a timeout of 1 ms: {}", refused.expect_err("the section lasts 50 ms"));
        fill(mirror, table, 7, |_| ())?;
        println!("    page 7 was filled after {:?}", before.elapsed());
        Outcome::Ok(())
    })?;
    println!("    A thread that would wait for its own section is told so instead of hanging:");
    let section = index.invalidate(pages(4, 4)?, Event::new(Reason::Protect));
    let refused = mirror.read_begin(Interval::point(4 * PAGE_BYTES));
    println!("    page 4: {}", refused.expect_err("the section is ours"));
    drop(section);
    Ok(())
}

fn grow(mirror: &Registration<Mirror>, table: &PageTable) -> Outcome {
    println!(
        "5. Growing to pages 2 to 7 is one update (R4), never a removal and an insertion: no section can slip between."
    );
    let refused = fill(mirror, table, 2, |_| ());
    println!("    before: page 2: {}", refused.expect_err("page 2 is not covered yet"));
    mirror.update(pages(2, 7)?)?;
    fill(mirror, table, 2, |_| ())?;
    show("after", mirror);
    Ok(())
}

fn shrink(mirror: &Registration<Mirror>, table: &PageTable) -> Outcome {
    println!("6. Shrinking to pages 2 to 5, in the order of R5: under the lock, tear down, then update.");
    // A filler has read page 6 and is about to lock.
    let ticket = mirror.read_begin(Interval::point(6 * PAGE_BYTES))?;
    let mut entries = mirror.payload().lock();
    tear_down(&mut entries, pages(6, 7)?);
    // Publishes the new bounds and then makes older tickets stale. It neither waits nor calls back: the lock is no trouble.
    mirror.update(pages(2, 5)?)?;
    drop(entries);
    println!("    the filler of page 6 must retry: {}", mirror.read_retry(ticket));
    let refused = fill(mirror, table, 6, |_| ());
    println!("    ... and then hears: {}", refused.expect_err("page 6 is no longer covered"));
    show("after", mirror);
    Ok(())
}

/// A mutator and a filler as fast as they can; at the end the mirror must agree with the page table.
fn race(index: &NotifierIndex, mirror: &Registration<Mirror>, table: &PageTable) -> Outcome {
    println!("7. A quarter of a second of both at full speed on pages 2 to 5.");
    let (is_over, retries_before) = (AtomicBool::new(false), index.stats().retries);
    let (fills, migrations) = thread::scope(|scope| {
        let mutator = scope.spawn(|| -> Result<u64, IntervalError> {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                table.migrate(index, 2 + count % 4, 2 + count % 4)?;
                count += 1;
            }
            Ok(count)
        });
        let filler = scope.spawn(|| -> Result<u64, BeginError> {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                fill(mirror, table, 2 + count % 4, |_| ())?;
                count += 1;
            }
            Ok(count)
        });
        thread::sleep(Duration::from_millis(250));
        is_over.store(true, Ordering::Relaxed);
        (filler.join().expect("filling does not panic"), mutator.join().expect("migrating does not panic"))
    });
    let retries = index.stats().retries - retries_before;
    println!("    {} fills, {} migrations, {retries} collisions found by read_retry", fills?, migrations?);
    for (page, frame) in mirror.payload().lock().iter() {
        assert_eq!(*frame, table.frame(*page), "page {page} is stale");
    }
    println!("    every entry that is left agrees with the page table");
    Ok(())
}

fn remove(mirror: Registration<Mirror>) -> Outcome {
    println!("8. Removal in the order of R6: under the lock tear down and remove_deferred; unlock; only then wait.");
    // The registration is about to be used up; a hold keeps the payload, and with it the lock.
    let payload = mirror.hold();
    let mut entries = payload.lock();
    entries.clear();
    let removal = mirror.remove_deferred()?;
    drop(entries);
    // A callback that is running may need the lock to end: waiting while holding it would be a deadlock.
    removal.wait()?;
    println!("    removed in version {}: no callback of it runs, and none will", removal.version());
    let refused = payload.read_begin(Interval::point(2 * PAGE_BYTES));
    println!("    a filler that comes too late hears: {}", refused.expect_err("it has been removed"));
    Ok(())
}

fn main() -> Outcome {
    let (table, index) = (PageTable::new(), NotifierIndex::new());
    let mirrors = index.register_ops::<Mirror>();
    let mirror = index.insert(&mirrors, pages(4, 7)?, Mirror::new())?;

    fill_quietly(&mirror, &table)?;
    invalidate_some(&index, &mirror, &table)?;
    collide(&index, &mirror, &table)?;
    wait_precisely(&index, &mirror, &table)?;
    grow(&mirror, &table)?;
    shrink(&mirror, &table)?;
    race(&index, &mirror, &table)?;
    remove(mirror)
}
