//! Protection slots: whoever wants to keep a version without counting writes its number into a slot.
//!
//! A slot has one user at a time: a reader, a snapshot with its clones, a section, a writer's bench. Its *mark* says which
//! versions may not go:
//!
//! ```text
//!   nothing          no version is used
//!   from n on        the user is about to take the current version, whose number is n or greater
//!   exactly n        the user looks at version n
//!
//!   user:       store "from n on" ── fence ── load current ── store "exactly m"
//!   reclaimer:  (replaced the version) ── fence ── read all marks
//! ```
//!
//! Of the two fences one is first. If it is the user's, the reclaimer sees "from n on" or what was stored after it, and keeps
//! whatever the user may have loaded. If it is the reclaimer's, the user loads a version that is newer than what was replaced.
//! So taking the newest version is three stores and loads and one fence: no loop, no second look, no line of another's. It can
//! be interrupted anywhere, also for good by a signal handler that has slots of its own.
//!
//! The numbers are what distinguishes these from hazard pointers (Michael, "Hazard pointers: safe memory reclamation for
//! lock-free objects", IEEE TPDS 15(6), 2004): one number stands for all that a version reaches, as in "Interval-based memory
//! reclamation" (Wen et al., PPoPP 2018), and nothing is to be looked at twice, as with eras.
//!
//! Invariants:
//! - **\[S1]** While a mark is "exactly n", what version *n* reaches is neither freed nor changed; while it is "from n on",
//!   what any version from *n* on reaches.
//! - **\[S2]** A mark is written by its slot's one user; it goes back to "nothing" when the last who shares the slot has left.
//! - **\[S3]** Chunks are never freed while the index is there.

use std::alloc::{Layout, alloc};
use std::ptr::{self, NonNull};

use crate::busted::{self, Sabotage};
use crate::identity::check_count;
use crate::publish::VersionCell;
use crate::reclaim::pool::NoMemory;
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, Padded, dealloc, fence, yield_point};
use crate::tuning::SLOTS_OF_CHUNK;
use crate::version::Version;

const NOTHING: u64 = 0;
const FROM: u64 = 1;

/// Version numbers begin at 0, and a mark of one is never nothing.
const fn exactly(number: u64) -> u64 {
    (number + 1) << 1
}

const fn from(number: u64) -> u64 {
    exactly(number) | FROM
}

/// Relaxed. ThreadSanitizer does not understand fences: for it the store itself says what the last fence before it does.
const BESIDE_A_FENCE: Ordering = if cfg!(tsan) { Ordering::Release } else { Ordering::Relaxed };

/// Which versions one user needs.
pub(crate) struct Mark {
    word: AtomicU64,
    /// A number that `current` had reached when it was last taken, perhaps by the user before.
    floor: AtomicU64,
}

impl Mark {
    pub(crate) fn new() -> Self {
        Mark { word: AtomicU64::new(NOTHING), floor: AtomicU64::new(0) }
    }

    /// Takes the current version, and protects it until the next call, or `clear`.
    pub(crate) fn protect(&self, cell: &VersionCell) -> NonNull<Version> {
        let is_late = busted::is(Sabotage::LateMark);
        if !is_late {
            // [O5] Relaxed: the word of the one user; what was marked before stays so, as it is not older. Of versions before
            // that, the last fence has told that they are used no more.
            self.word.store(from(self.floor.load(Ordering::Relaxed)), BESIDE_A_FENCE);
            // [O6] SeqCst, partner of the fence in `scan`: the mark is seen, or a newer version is. It also publishes that
            // what was marked before is used no more.
            fence(Ordering::SeqCst);
        }
        let version = cell.look();
        yield_point();
        // SAFETY: [S1] protected by "from"; the floor is a number that `current` had before, and it never goes back.
        let number = unsafe { version.as_ref() }.seq;
        // [O5] Relaxed, as above. A reclaimer that sees this number has the fence's promise for all older ones.
        self.floor.store(number, Ordering::Relaxed);
        self.word.store(exactly(number), BESIDE_A_FENCE);
        version
    }

    /// Nothing is used from here on.
    pub(crate) fn clear(&self) {
        // [O5] Release, partner of the Acquire in `read`: all reading through the version.
        self.word.store(NOTHING, busted::weaker(Sabotage::LooseLeave, Ordering::Release));
    }

    fn read(&self) -> u64 {
        // [O5] Acquire, partner of the Release in `clear` and of the fence in `protect`.
        self.word.load(Ordering::Acquire)
    }
}

/// Who has a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UserKind {
    Reader,
    Snapshot,
    Section,
    Writer,
}

/// Who keeps versions, and the thread that took the slot, as the operating system numbers it, where that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct User {
    pub(crate) kind: UserKind,
    pub(crate) thread: Option<u32>,
}

/// The calling thread's number with the operating system.
fn system_thread() -> Option<u32> {
    // SAFETY: it asks for a number, and cannot fail.
    #[cfg(target_os = "linux")]
    return u32::try_from(unsafe { libc::gettid() }).ok();
    #[cfg(not(target_os = "linux"))]
    return None;
}

impl User {
    fn pack(self) -> u64 {
        (u64::from(self.thread.unwrap_or(0)) << 2) | self.kind as u64
    }

    const fn unpack(packed: u64) -> Self {
        let kind = match packed % 4 {
            0 => UserKind::Reader,
            1 => UserKind::Snapshot,
            2 => UserKind::Section,
            _ => UserKind::Writer,
        };
        let thread = (packed >> 2) as u32;
        User { kind, thread: if thread == 0 { None } else { Some(thread) } }
    }
}

/// A slot, alone on its lines.
struct Slot {
    mark: Mark,
    user: AtomicU64,
    share_count: AtomicUsize,
}

/// Some slots, and which of them are taken: a bit each, so that free ones cost a scan nothing.
struct Chunk {
    taken: Padded<AtomicUsize>,
    next: *mut Chunk,
    slots: [Padded<Slot>; SLOTS_OF_CHUNK],
}

impl Chunk {
    fn new(next: *mut Chunk) -> Self {
        let slot = |_| Padded(Slot { mark: Mark::new(), user: AtomicU64::new(0), share_count: AtomicUsize::new(0) });
        Chunk { taken: Padded(AtomicUsize::new(0)), next, slots: std::array::from_fn(slot) }
    }

    /// Takes a free slot, if there is one.
    fn take(&self) -> Option<usize> {
        let mut taken = self.taken.0.load(Ordering::Relaxed);
        loop {
            let free = (!taken).trailing_zeros() as usize;
            if free >= SLOTS_OF_CHUNK {
                return None;
            }
            // [O4] Acquire, partner of the Release in `OwnSlot::drop`: the floor of the user before.
            match self.taken.0.compare_exchange_weak(taken, taken | 1 << free, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(free),
                Err(now) => taken = now,
            }
        }
    }
}

/// All slots of an index: chunks that are made when they are needed.
pub(crate) struct Slots(AtomicPtr<Chunk>);

// SAFETY: [S3] chunks are shared, and all in them is atomic or fixed.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

impl Slots {
    pub(crate) const fn layout() -> Layout {
        Layout::new::<Chunk>()
    }

    pub(crate) fn new() -> Self {
        Slots(AtomicPtr::new(ptr::null_mut()))
    }

    fn chunks(&self) -> impl Iterator<Item = NonNull<Chunk>> {
        // [O4] Acquire, partner of the Release in `grow`: the chunk.
        let mut next = self.0.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            let chunk = NonNull::new(next)?;
            // SAFETY: [S3]
            next = unsafe { chunk.as_ref() }.next;
            Some(chunk)
        })
    }

    /// A slot for the calling thread.
    pub(crate) fn take(&self, kind: UserKind) -> Result<OwnSlot, NoMemory> {
        loop {
            // SAFETY: [S3]
            let free = self.chunks().find_map(|chunk| Some((chunk, unsafe { chunk.as_ref() }.take()?)));
            if let Some((chunk, at)) = free {
                let own = OwnSlot { chunk, at };
                own.slot().user.store(User { kind, thread: system_thread() }.pack(), Ordering::Relaxed);
                own.slot().share_count.store(1, Ordering::Relaxed);
                return Ok(own);
            }
            self.grow()?;
        }
    }

    #[cold]
    fn grow(&self) -> Result<(), NoMemory> {
        // SAFETY: a chunk is not of size zero.
        let chunk = NonNull::new(unsafe { alloc(Self::layout()) }.cast::<Chunk>()).ok_or(NoMemory)?;
        let mut first = self.0.load(Ordering::Relaxed);
        // SAFETY: fresh memory of this layout.
        unsafe { chunk.write(Chunk::new(first)) };
        loop {
            // [O4] Release, partner of the Acquire in `chunks`.
            match self.0.compare_exchange_weak(first, chunk.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => {
                    first = now;
                    // SAFETY: still this thread's alone.
                    unsafe { (&raw mut (*chunk.as_ptr()).next).write(first) };
                }
            }
        }
    }

    /// Reads all marks: these, and those that stand elsewhere. Versions below `before` have been replaced; they are protected
    /// from now on only as `protected` says.
    pub(crate) fn scan(&self, protected: &mut Protected, before: u64, elsewhere: impl Fn(&mut dyn FnMut(&Mark, User))) {
        protected.clear();
        protected.before = before;
        // [O6] SeqCst, partner of the fence in `Mark::protect`.
        fence(Ordering::SeqCst);
        if busted::is(Sabotage::BlindScan) {
            return;
        }
        elsewhere(&mut |mark, user| protected.note(mark, user));
        for chunk in self.chunks() {
            // SAFETY: [S3]
            let chunk = unsafe { chunk.as_ref() };
            // [O4] Acquire, partner of the Release in `OwnSlot::drop`: a slot that is free was left.
            let mut taken = chunk.taken.0.load(Ordering::Acquire);
            while taken != 0 {
                let slot = &chunk.slots[taken.trailing_zeros() as usize].0;
                protected.note(&slot.mark, User::unpack(slot.user.load(Ordering::Relaxed)));
                taken &= taken - 1;
            }
        }
        protected.sort();
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let chunks: Vec<NonNull<Chunk>> = self.chunks().collect();
        for chunk in chunks {
            // SAFETY: [S3] from `grow`, and the index is gone.
            unsafe {
                ptr::drop_in_place(chunk.as_ptr());
                dealloc(chunk.as_ptr().cast(), Self::layout());
            }
        }
    }
}

/// A slot that is taken; given back when dropped. The index outlives it.
pub(crate) struct OwnSlot {
    chunk: NonNull<Chunk>,
    at: usize,
}

// SAFETY: [S3] the slot is atomic, and whoever uses it may be on another thread.
unsafe impl Send for OwnSlot {}
// SAFETY: as above.
unsafe impl Sync for OwnSlot {}

impl OwnSlot {
    fn slot(&self) -> &Slot {
        // SAFETY: [S3]
        &unsafe { self.chunk.as_ref() }.slots[self.at].0
    }

    pub(crate) fn mark(&self) -> &Mark {
        &self.slot().mark
    }

    /// Another handle of the same slot, whose mark stays as it is until the last has gone.
    pub(crate) fn share(&self) -> Self {
        // [O4] Relaxed: made from a share that exists.
        check_count(self.slot().share_count.fetch_add(1, Ordering::Relaxed));
        OwnSlot { ..*self }
    }
}

impl Drop for OwnSlot {
    fn drop(&mut self) {
        let slot = self.slot();
        // [O4] AcqRel, with each other: all reading of those who shared the slot comes before it is cleared.
        let is_last = slot.share_count.fetch_sub(1, busted::weaker(Sabotage::LooseLastShare, Ordering::AcqRel)) == 1;
        if is_last {
            slot.mark.clear();
            // SAFETY: [S3]
            let taken = &unsafe { self.chunk.as_ref() }.taken.0;
            // [O4] Release, partner of the Acquire in `take` and `scan`.
            taken.fetch_and(!(1 << self.at), Ordering::Release);
        }
    }
}

/// What a scan has found.
#[derive(Default)]
pub(crate) struct Protected {
    /// Ascending by number.
    exact: Vec<(u64, User)>,
    /// All versions from this one on.
    from: Option<(u64, User)>,
    /// Versions below had been replaced: of others it says nothing.
    before: u64,
}

impl Protected {
    /// Where nobody is left.
    pub(crate) fn nothing() -> Self {
        Protected { before: u64::MAX, ..Protected::default() }
    }

    /// Whether the scan tells who looks at this version.
    pub(crate) fn tells_of(&self, number: u64) -> bool {
        number < self.before
    }

    fn clear(&mut self) {
        self.exact.clear();
        self.from = None;
    }

    fn note(&mut self, mark: &Mark, user: User) {
        let word = mark.read();
        if word == NOTHING {
            return;
        }
        let number = (word >> 1) - 1;
        // Where there is no memory to note one version, all from it on are kept.
        if word & FROM == 0 && self.exact.try_reserve(1).is_ok() {
            self.exact.push((number, user));
        } else if self.from.is_none_or(|(least, _)| number < least) {
            self.from = Some((number, user));
        }
    }

    fn sort(&mut self) {
        self.exact.sort_unstable_by_key(|(number, _)| *number);
    }

    /// The newest version up to this one that somebody looks at.
    pub(crate) fn newest_up_to(&self, number: u64) -> Option<u64> {
        let at = self.exact.partition_point(|(protected, _)| *protected <= number);
        Some(self.exact[at.checked_sub(1)?].0)
    }

    /// Whether somebody may be about to take this version.
    pub(crate) fn is_open_at(&self, number: u64) -> bool {
        self.from.is_some_and(|(least, _)| least <= number)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }

    /// Whether somebody looks at this version.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.newest_up_to(number) == Some(number)
    }

    /// Who looks at this version, or may be about to take it.
    pub(crate) fn user_of(&self, number: u64) -> Option<User> {
        let exact = self.exact.binary_search_by_key(&number, |(protected, _)| *protected);
        let open = || self.from.filter(|(least, _)| *least <= number).map(|(_, user)| user);
        exact.ok().map(|at| self.exact[at].1).or_else(open)
    }

    /// How many versions below `current` are looked at, and the oldest number of all.
    pub(crate) fn summary(&self, current: u64) -> (u64, Option<u64>) {
        let mut older = self.exact.iter().map(|(number, _)| *number).filter(|number| *number < current);
        let (mut count, mut last) = (0, None);
        let oldest = older.next();
        for number in oldest.into_iter().chain(older) {
            count += u64::from(last != Some(number));
            last = Some(number);
        }
        (count, oldest)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    const USER: User = User { kind: UserKind::Reader, thread: Some(7) };

    fn scanned(words: &[u64]) -> Protected {
        let mut protected = Protected::default();
        for word in words {
            let mark = Mark::new();
            mark.word.store(*word, Ordering::Relaxed);
            protected.note(&mark, USER);
        }
        protected.sort();
        protected.before = 10;
        protected
    }

    #[test]
    fn a_scan_tells_which_versions_are_kept() {
        let protected = scanned(&[exactly(7), NOTHING, exactly(0), from(12), exactly(7), from(20)]);
        assert_eq!(protected.newest_up_to(6), Some(0));
        assert_eq!(protected.newest_up_to(7), Some(7));
        assert!(protected.contains(7) && !protected.contains(6));
        assert!(protected.tells_of(9) && !protected.tells_of(10));
        assert!(!protected.is_open_at(11) && protected.is_open_at(12) && protected.is_open_at(13));
        assert_eq!((protected.user_of(7), protected.user_of(8), protected.user_of(30)), (Some(USER), None, Some(USER)));
        assert_eq!(protected.summary(7), (1, Some(0)));
        assert_eq!(protected.summary(8), (2, Some(0)));
        assert_eq!(scanned(&[]).newest_up_to(u64::MAX - 1), None);
    }

    #[test]
    fn slots_are_used_again_and_shared_ones_once_all_have_left() {
        let slots = Slots::new();
        let count = || slots.chunks().count();
        let many: Vec<_> = (0..3 * SLOTS_OF_CHUNK).map(|_| slots.take(UserKind::Reader).unwrap()).collect();
        assert_eq!(count(), 3);
        drop(many);
        let first = slots.take(UserKind::Snapshot).unwrap();
        let place = (first.chunk, first.at);
        let second = first.share();
        drop(first);
        assert!(slots.take(UserKind::Reader).unwrap().at != place.1, "still shared");
        drop(second);
        let again = slots.take(UserKind::Reader).unwrap();
        assert_eq!(((again.chunk, again.at), count()), (place, 3));
    }

    #[test]
    fn users_are_told_apart() {
        for kind in [UserKind::Reader, UserKind::Snapshot, UserKind::Section, UserKind::Writer] {
            assert_eq!(User::unpack(User { kind, thread: Some(12) }.pack()), User { kind, thread: Some(12) });
        }
    }
}
