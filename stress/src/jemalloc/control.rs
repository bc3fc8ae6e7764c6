//! jemalloc's control interface: the few settings, figures and actions that the job needs, each as a safe function.
//!
//! Every name below is one of jemalloc's manual. A name is resolved on each call, except for `arenas.lookup`, which
//! workers ask for every allocation and which therefore keeps its resolved form ([`Lookup`]).
//!
//! Invariants that the `unsafe` blocks of this file rest on:
//! - **C1** The value that is read or written has exactly the type that the manual gives for the name, and jemalloc
//!   itself refuses (`EINVAL`) a length that differs from it; so what is written into a local fits it.
//! - **C2** A pointer given to a call lives until the call has returned; jemalloc keeps none of them, except for the
//!   hook table of `arenas.create`, which lives for ever.

use std::ffi::{CString, c_void};
use std::mem::size_of;
use std::ptr::{from_mut, null_mut};

use tikv_jemalloc_sys::{extent_hooks_t, mallctl, mallctlbymib, mallctlnametomib};

/// A call that jemalloc refused: the name, and the error number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlError {
    name: String,
    errno: i32,
}

impl std::fmt::Display for ControlError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cause = std::io::Error::from_raw_os_error(self.errno);
        write!(formatter, "jemalloc refused {}: {cause}", self.name)
    }
}

impl std::error::Error for ControlError {}

/// Types that may stand behind a name: plain data, any bit pattern that jemalloc writes is valid.
trait Value: Copy + Default {}
impl Value for bool {}
impl Value for u32 {}
impl Value for u64 {}
impl Value for usize {}
impl Value for isize {}

/// Reads and writes at once; `None` leaves out that half.
fn exchange<R: Value, W: Copy>(name: &str, written: Option<W>) -> Result<R, ControlError> {
    let refused = |errno| ControlError { name: name.to_owned(), errno };
    let c_name = CString::new(name).map_err(|_| refused(libc::EINVAL))?;
    let (mut read, mut read_len) = (R::default(), size_of::<R>());
    let (mut written, write_len) = (written, if written.is_some() { size_of::<W>() } else { 0 });
    let new = written.as_mut().map_or(null_mut(), |value| from_mut(value).cast::<c_void>());
    // SAFETY: C1, C2: lengths are those of the locals pointed to, which outlive the call.
    let errno = unsafe { mallctl(c_name.as_ptr(), from_mut(&mut read).cast(), &raw mut read_len, new, write_len) };
    if errno == 0 { Ok(read) } else { Err(refused(errno)) }
}

fn read<R: Value>(name: &str) -> Result<R, ControlError> {
    exchange::<R, R>(name, None)
}

/// Names without a value, which act when they are called.
fn act(name: &str) -> Result<(), ControlError> {
    let refused = |errno| ControlError { name: name.to_owned(), errno };
    let c_name = CString::new(name).map_err(|_| refused(libc::EINVAL))?;
    // SAFETY: C2: nothing is read or written, the name outlives the call.
    let errno = unsafe { mallctl(c_name.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    if errno == 0 { Ok(()) } else { Err(refused(errno)) }
}

/// Whether this process keeps address space that the allocator gives up (`opt.retain`).
pub(crate) fn retains() -> Result<bool, ControlError> {
    read("opt.retain")
}

/// An arena of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arena {
    number: u32,
}

/// What jemalloc says that an arena has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArenaBytes {
    /// Bytes in extents in use or cached, metadata included.
    pub(crate) mapped: u64,
    /// Bytes of address space that the arena keeps although it does not use them.
    pub(crate) retained: u64,
}

impl Arena {
    /// Makes an arena whose extents come from these hooks; its own metadata is asked for before this returns.
    ///
    /// # Errors
    /// jemalloc's, for example if the first mapping was refused.
    pub(crate) fn create(hooks: &'static extent_hooks_t) -> Result<Arena, ControlError> {
        let table: *const extent_hooks_t = hooks;
        let number = exchange::<u32, *const extent_hooks_t>("arenas.create", Some(table))?;
        Ok(Arena { number })
    }

    /// The number by which jemalloc knows it.
    pub(crate) fn number(self) -> u32 {
        self.number
    }

    /// How long freed pages stay in the cache before they are purged: 0 is at once.
    pub(crate) fn set_decay_ms(self, dirty: isize, muzzy: isize) -> Result<(), ControlError> {
        exchange::<isize, isize>(&self.name("dirty_decay_ms"), Some(dirty))?;
        exchange::<isize, isize>(&self.name("muzzy_decay_ms"), Some(muzzy))?;
        Ok(())
    }

    /// Refreshes the figures of all arenas and reads those of this one.
    pub(crate) fn bytes(self) -> Result<ArenaBytes, ControlError> {
        exchange::<u64, u64>("epoch", Some(1))?;
        let stat = |name| read::<usize>(&format!("stats.arenas.{}.{name}", self.number));
        Ok(ArenaBytes { mapped: stat("mapped")? as u64, retained: stat("retained")? as u64 })
    }

    /// Gives back all that the arena has, in use or not; its hooks are not called any more once this has returned.
    ///
    /// # Safety
    /// No allocation of the arena is used, or freed, after or during the call.
    pub(crate) unsafe fn destroy(self) -> Result<(), ControlError> {
        act(&self.name("destroy"))
    }

    fn name(self, leaf: &str) -> String {
        format!("arena.{}.{leaf}", self.number)
    }
}

/// `arenas.lookup`, resolved once: which arena an allocation belongs to, by jemalloc's own book-keeping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    path: [usize; 2],
}

impl Lookup {
    /// Resolves the name.
    pub(crate) fn new() -> Result<Lookup, ControlError> {
        let mut lookup = Lookup { path: [0; 2] };
        let mut length = lookup.path.len();
        // SAFETY: C2: the path has as many places as its length says.
        let errno = unsafe { mallctlnametomib(c"arenas.lookup".as_ptr(), lookup.path.as_mut_ptr(), &raw mut length) };
        if errno == 0 { Ok(lookup) } else { Err(ControlError { name: "arenas.lookup".to_owned(), errno }) }
    }

    /// The number of the arena of an allocation, by its base address; `None` if jemalloc knows no such allocation.
    pub(crate) fn arena_of(&self, base: u64) -> Option<u32> {
        let (mut number, mut number_len) = (0u32, size_of::<u32>());
        let mut pointer = base as usize as *mut c_void;
        // SAFETY: C1, C2: an unsigned is read and a pointer written, by locals that outlive the call; the pointer is
        // only looked up, never followed.
        let errno = unsafe {
            mallctlbymib(
                self.path.as_ptr(),
                self.path.len(),
                from_mut(&mut number).cast(),
                &raw mut number_len,
                from_mut(&mut pointer).cast(),
                size_of::<*mut c_void>(),
            )
        };
        (errno == 0).then_some(number)
    }
}
