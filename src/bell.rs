//! Waiting for something to be over, and ringing for those who wait: free for the one who rings when nobody does.

use std::time::Instant;

#[cfg(not(any(loom, shuttle)))]
use event_listener::Listener;

use crate::fork;
use crate::sync::{AtomicU32, Event, Ordering, fence, listener};

/// A place to wait at, for those whom the one who rings knows of in some other way.
///
/// In a child of `fork` an inherited one is empty: those who waited are not there, and its lock may be held by one of them.
pub(crate) struct WaitingRoom {
    event: Event,
    generation: u64,
}

impl Default for WaitingRoom {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitingRoom {
    pub(crate) fn new() -> Self {
        WaitingRoom { event: Event::new(), generation: fork::generation() }
    }

    fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    pub(crate) fn wake_all(&self) {
        if !self.is_inherited() {
            self.event.notify(usize::MAX);
        }
    }

    /// Waits until `is_over`, which is asked again after each waking. False if the time ran out.
    pub(crate) fn wait_until(&self, is_over: impl Fn() -> bool, deadline: Option<Instant>) -> bool {
        while !is_over() {
            if self.is_inherited() {
                return false;
            }
            listener!(self.event => listener);
            // Listening first, then looking again: whoever rings after the look rings for us.
            if is_over() {
                return true;
            }
            match deadline {
                None => listener.wait(),
                Some(deadline) => {
                    if listener.wait_deadline(deadline).is_none() && Instant::now() >= deadline {
                        return is_over();
                    }
                }
            }
        }
        true
    }
}

/// A waiting room that counts who is in it.
#[derive(Default)]
pub(crate) struct Bell {
    waiting: AtomicU32,
    room: WaitingRoom,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Bell { waiting: AtomicU32::new(0), room: WaitingRoom::new() }
    }

    /// Wakes all who wait. Whatever they wait for was stored before.
    pub(crate) fn ring(&self) {
        // [O22] SeqCst, partner of the fence in `wait_until`: either the waiter is seen here, or he sees what was stored.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.room.wake_all();
        }
    }

    /// Waits until `is_over`. False if the time ran out.
    pub(crate) fn wait_until(&self, is_over: impl Fn() -> bool, deadline: Option<Instant>) -> bool {
        if is_over() {
            return true;
        }
        // [O22] Relaxed, ordered by the fence: partner of the fence in `ring`.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let came_to_an_end = self.room.wait_until(is_over, deadline);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        came_to_an_end
    }
}
