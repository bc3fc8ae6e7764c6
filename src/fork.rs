//! After `fork`: a child has one thread, and of everything else the state of one instant.
//!
//! Locks may be held, and sections begun, by threads that are not there and never let go. So an index that was inherited
//! stands still in the child: it is read, and never changed, waited for, reclaimed from or freed. What is made in the
//! child works in full, because nothing that it needs is shared with what was inherited:
//!
//! | process-wide | in a child |
//! |---|---|
//! | the epoch's collector | one for each generation (`reclaim/epoch.rs`) |
//! | numbers of indexes, batches and threads | go on; each one step, so never half done |
//! | `arc_swap`'s slots for threads | lock-free; those of threads that are gone stay taken |
//! | protection slots | of the index; marks of threads that are gone stay, and nothing is reclaimed by them |
//! | waiting rooms | of the index, and an inherited one wakes nobody (`bell.rs`) |
//!
//! How a child knows: the first index of a process asks to be called in each child, and that call raises the
//! *generation*. An index remembers in which it was made. A process that is cloned past the C library (a bare `clone`
//! call) is not told.

#[cfg(unix)]
use crate::busted::{self, Sabotage};
use crate::reclaim::pool::NoMemory;
use crate::sync::{Number, Ordering};

/// How many forks lie between this process and the one that made the first index, or more.
static GENERATION: Number = Number::new(0);

/// The generation that this process is of.
#[inline]
pub(crate) fn generation() -> u64 {
    // [O25] Relaxed: raised in a child before it has a second thread.
    GENERATION.load(Ordering::Relaxed)
}

/// From here on a child knows that it is one.
///
/// Two threads may both ask for it, and a child is then raised by two: any other number will do. So no lock stands here
/// that a fork could copy.
#[cfg(unix)]
pub(crate) fn watch() -> Result<(), NoMemory> {
    use crate::sync::Number32;

    static IS_WATCHED: Number32 = Number32::new(0);
    // [O25] Relaxed: asking twice does no harm.
    if IS_WATCHED.load(Ordering::Relaxed) == 0 {
        raise_in_children()?;
        IS_WATCHED.store(1, Ordering::Relaxed);
    }
    Ok(())
}

/// There is no `fork` here.
#[cfg(not(unix))]
pub(crate) fn watch() -> Result<(), NoMemory> {
    Ok(())
}

#[cfg(unix)]
fn raise_in_children() -> Result<(), NoMemory> {
    extern "C" fn raise() {
        if !busted::is(Sabotage::IgnoreFork) {
            // [O25] Relaxed: the child has one thread.
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
    }
    // SAFETY: the handler touches one atomic number, which is allowed in a child of any process.
    match unsafe { libc::pthread_atfork(None, None, Some(raise)) } {
        0 => Ok(()),
        _ => Err(NoMemory),
    }
}
