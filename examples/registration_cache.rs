//! A registration cache, as network cards and io_uring need one: registering memory with a device is slow, so it is done
//! once for a buffer and found again, until the memory is unmapped.
//!
//! What goes wrong in such caches, and does not here:
//!
//! - a look-up returns a registration that another thread is just freeing: a hit is protected, and `hold()` keeps it as
//!   long as the I/O runs;
//! - memory is unmapped while it is being registered, and the cache keeps pages that nobody has any more: registering is
//!   filling a mirror, so it is done by collision-retry;
//! - new memory appears at an old address: removal shows at once, so a look-up cannot find what was unmapped.
//!
//! Run with `cargo run --example registration_cache`.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use notifier_index::{
    BeginError, Event, FoundOrInserted, Held, Interval, Invalidating, Notifier, NotifierIndex, Ops, Reason, WouldBlock,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The cache registers whole chunks, so that what overlaps a request also covers it.
const CHUNK_BYTES: u64 = 64 << 10;
const CHUNK_COUNT: u64 = 8;

fn chunk(number: u64) -> Outcome<Interval> {
    Ok(Interval::from_start_len(number * CHUNK_BYTES, CHUNK_BYTES)?)
}

/// The source: which physical memory is behind each chunk. Unmapping and mapping again puts other memory there.
struct AddressSpace {
    memory: Vec<AtomicU64>,
}

impl AddressSpace {
    fn new() -> Self {
        AddressSpace { memory: (1..=CHUNK_COUNT).map(AtomicU64::new).collect() }
    }

    /// `munmap`, then `mmap` at the same address. The allocator's hook opens a section around it.
    fn remap(&self, index: &NotifierIndex, number: u64) -> Outcome {
        let section = index.invalidate(chunk(number)?, Event::new(Reason::Unmap));
        self.memory[number as usize].fetch_add(CHUNK_COUNT, Ordering::Relaxed);
        drop(section);
        Ok(())
    }

    /// What registering does in the device's driver: slow, and true only of the moment.
    fn pin_pages(&self, number: u64) -> PinnedPages {
        let memory = self.memory[number as usize].load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(2));
        PinnedPages { memory }
    }
}

/// Pages that the device may use until this is dropped.
struct PinnedPages {
    memory: u64,
}

impl Drop for PinnedPages {
    fn drop(&mut self) {
        println!("        (memory #{} is given back by the device)", self.memory);
    }
}

/// What callbacks need: the index itself is the map from a chunk to its registration, which is detached, and claimed by
/// whoever removes it. The lock is "the user's lock": callbacks take it, and so does whoever commits what was registered.
struct Shared {
    index: NotifierIndex,
    regions: Ops<Region>,
    commits: Mutex<()>,
}

/// The payload: one chunk, and its pages once they are pinned. Dropped, and the pages with it, when it has been removed
/// and the last holder is done.
struct Region {
    number: u64,
    pages: OnceLock<PinnedPages>,
    // Weak, because the index keeps the payloads.
    shared: Weak<Shared>,
}

impl Notifier for Region {
    /// The chunk goes away, and its region with it: nobody finds it from here on. Those who hold it finish in peace.
    fn invalidate(&self, invalidating: &Invalidating<'_>) -> Result<(), WouldBlock> {
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        println!("        callback: chunk {} is told of {:?}", self.number, invalidating.reason());
        // The lock is kept until the removal is published, so that nothing is committed meanwhile.
        let _locked = shared.commits.lock().unwrap_or_else(PoisonError::into_inner);
        // Found by its address. Where another section's callback was first, there is nothing to claim.
        let claimed = shared.index.pin().find(&shared.regions, invalidating.bounds()).and_then(|hit| hit.claim());
        let Some(registration) = claimed else { return Ok(()) };
        // In a callback `remove` would wait for itself and is refused; this never waits.
        if let Err(refused) = registration.remove_deferred() {
            println!("        callback: {refused}; dropping the registration lets the index try again");
        }
        Ok(())
    }
}

/// The cache.
struct Cache<'s> {
    shared: Arc<Shared>,
    space: &'s AddressSpace,
}

impl Cache<'_> {
    /// The region of a chunk, registered with the device: found, or made. `meanwhile` runs while the pages are being
    /// pinned, so that this example can put a collision there.
    fn acquire(&self, number: u64, mut meanwhile: impl FnMut()) -> Outcome<Held<Region>> {
        loop {
            let region = self.find_or_insert(number)?;
            if region.pages.get().is_some() {
                return Ok(region);
            }
            match self.register(&region, &mut meanwhile) {
                Ok(true) => return Ok(region),
                Ok(false) => println!("        the chunk changed while it was being registered: again"),
                Err(BeginError::Removed) => println!("        the region was removed before it was registered: again"),
                Err(refused) => return Err(refused.into()),
            }
        }
    }

    fn find_or_insert(&self, number: u64) -> Outcome<Held<Region>> {
        // The common case takes no lock: a pin, a search, one counter for the hold.
        let Shared { index, regions, commits } = &*self.shared;
        if let Some(hit) = index.pin().find(regions, chunk(number)?) {
            return Ok(hit.hold());
        }
        // Locked, so that a callback finds it detached, or not at all. Inserting waits for nobody.
        let _locked = commits.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Region { number, pages: OnceLock::new(), shared: Arc::downgrade(&self.shared) };
        match index.find_or_insert_with(regions, chunk(number)?, make)? {
            FoundOrInserted::Found(region) => Ok(region),
            FoundOrInserted::Inserted(registration) => {
                let region = registration.hold();
                // Whoever removes it has its address and nothing else.
                registration.detach();
                Ok(region)
            }
        }
    }

    /// Fills a region by collision-retry; false if the chunk changed meanwhile.
    fn register(&self, region: &Held<Region>, meanwhile: &mut impl FnMut()) -> Result<bool, BeginError> {
        let ticket = region.read_begin(region.interval())?;
        let pages = self.space.pin_pages(region.number);
        meanwhile();
        // Pinning may be long, so a cheap look first; it saves the lock but decides nothing.
        if ticket.is_stale() {
            return Ok(false);
        }
        let _locked = self.shared.commits.lock().unwrap_or_else(PoisonError::into_inner);
        if region.read_retry(ticket) {
            return Ok(false);
        }
        // Of two threads that registered the same region at once one is first; the other's pages are given back.
        let _ = region.pages.set(pages);
        Ok(true)
    }
}

/// What a caller sees of a region: the memory that the device would use.
fn memory_of(region: &Region) -> u64 {
    region.pages.get().map_or(0, |pages| pages.memory)
}

fn miss_and_hits(cache: &Cache<'_>) -> Outcome {
    println!("1. The first use of chunk 3 registers it, the next ones find it.");
    let before = Instant::now();
    let region = cache.acquire(3, || ())?;
    println!("    miss: registered memory #{} in {:?}", memory_of(&region), before.elapsed());
    let before = Instant::now();
    for _ in 0..1000 {
        let _ = cache.acquire(3, || ())?;
    }
    println!("    hits: {:?} each", before.elapsed() / 1000);
    Ok(())
}

fn unmap_during_io(cache: &Cache<'_>) -> Outcome {
    println!("2. Chunk 3 is unmapped, and mapped anew, while I/O on it runs.");
    let region = cache.acquire(3, || ())?;
    let (begun, has_begun) = mpsc::channel();
    let (unmapped, was_unmapped) = mpsc::channel();
    thread::scope(|scope| {
        // The hold was made under a guard that is gone long since; it goes to another thread and lasts as long as the I/O.
        let io = scope.spawn(move || {
            println!("    I/O begins on memory #{}", memory_of(&region));
            // If a channel is closed the other side has failed, and says so itself.
            let _ = begun.send(());
            let _: Result<(), _> = was_unmapped.recv();
            thread::sleep(Duration::from_millis(30));
            let words = if region.is_live() { "still registered" } else { "no longer registered, and still pinned" };
            println!("    I/O ends on memory #{}: {words}", memory_of(&region));
        });
        has_begun.recv()?;
        let before = Instant::now();
        cache.space.remap(&cache.shared.index, 3)?;
        println!("    unmapped in {:?}, without waiting for the I/O", before.elapsed());
        let found = cache.shared.index.pin().find(&cache.shared.regions, chunk(3)?).is_some();
        println!("    chunk 3 is found in the cache: {found}");
        let renewed = cache.acquire(3, || ())?;
        println!("    the same address is registered anew: memory #{}", memory_of(&renewed));
        unmapped.send(())?;
        io.join().map_err(|_| "the I/O panicked")?;
        Outcome::Ok(())
    })?;
    println!("    the last holder is gone; the next change of the index, or `maintain`, drops the old region:");
    cache.shared.index.maintain();
    Ok(())
}

fn unmap_during_registration(cache: &Cache<'_>) -> Outcome {
    println!("3. Chunk 5 is unmapped while it is being registered: what was pinned is not kept.");
    let mut attempts = 0;
    let mut remapped = Ok(());
    let region = cache.acquire(5, || {
        attempts += 1;
        if attempts == 1 {
            // On another thread, as it would be; errors as text, because they must cross back.
            let remap = || cache.space.remap(&cache.shared.index, 5).map_err(|error| error.to_string());
            remapped = thread::scope(|scope| scope.spawn(remap).join().expect("remapping does not panic"));
        }
    })?;
    remapped?;
    let now = cache.space.memory[5].load(Ordering::Relaxed);
    println!("    registered at attempt {attempts}: memory #{}, and #{now} is mapped there", memory_of(&region));
    assert_eq!(memory_of(&region), now, "the cache has what is mapped");
    Ok(())
}

fn many_at_once(cache: &Cache<'_>) -> Outcome {
    println!("4. Four threads want chunk 6 at once: one region is inserted, and all get it.");
    let regions: Vec<Held<Region>> = thread::scope(|scope| {
        let acquire = || cache.acquire(6, || ()).map_err(|error| error.to_string());
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(acquire)).collect();
        threads.into_iter().map(|thread| thread.join().expect("acquiring does not panic")).collect::<Result<_, _>>()
    })?;
    let is_one = regions.iter().all(|region| std::ptr::eq(region.payload(), regions[0].payload()));
    println!("    all four hold the same region: {is_one}, memory #{}", memory_of(&regions[0]));
    Ok(())
}

fn main() -> Outcome {
    let (index, space) = (NotifierIndex::new(), AddressSpace::new());
    let shared = Shared { index: index.clone(), regions: index.register_ops(), commits: Mutex::new(()) };
    let cache = Cache { shared: Arc::new(shared), space: &space };

    miss_and_hits(&cache)?;
    unmap_during_io(&cache)?;
    unmap_during_registration(&cache)?;
    many_at_once(&cache)?;

    println!("5. The listing of what is registered, and then the cache goes.");
    print!("{}", index.dump());
    // Whoever claims a registration has it: dropping it removes the region.
    let all =
        index.pin().find_all(&cache.shared.regions, Interval::FULL).filter_map(|hit| hit.claim()).collect::<Vec<_>>();
    println!("    {} registrations were claimed", all.len());
    drop((all, cache));
    // What they kept is dropped here at the latest.
    index.maintain();
    println!("    {} regions are left", index.len());
    Ok(())
}
