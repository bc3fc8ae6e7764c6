//! Somebody who notices that nothing moves any more: a hang is a failed job, not a job without an end.
//!
//! He counts his looks, not the time: if the machine stands still, so does he.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::mixes::Deed;
use super::seat::Desk;

/// How often it looks.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Looks of all watchdogs of this process.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// How often a watchdog of this process has looked: a clock that stands still when the process does.
pub(crate) fn look_count() -> u64 {
    // Relaxed: a clock.
    LOOKS.load(Ordering::Relaxed)
}

/// The threads that are watched.
type Watched = Arc<Mutex<Vec<Pulse>>>;

/// A thread, and how many looks ago it gave a sign of life.
struct Pulse {
    desk: Arc<Desk>,
    beats: u64,
    looks: u32,
}

impl Pulse {
    fn new(desk: &Arc<Desk>) -> Self {
        Pulse { desk: Arc::clone(desk), beats: 0, looks: 0 }
    }

    /// What it has been doing for too long, if it has.
    fn look(&mut self, limit: Duration) -> Option<String> {
        // Relaxed: late by a look at most.
        let beats = self.desk.heart.beats.load(Ordering::Relaxed);
        let doing = self.desk.heart.doing.load(Ordering::Relaxed);
        if beats != self.beats || doing == Deed::Rest as u32 {
            (self.beats, self.looks) = (beats, 0);
            return None;
        }
        self.looks += 1;
        let stuck = LOOK * self.looks;
        let name = Deed::ALL.get(doing as usize).map_or("something", |deed| deed.name());
        (stuck > limit).then(|| format!("{name} for {:.1} s", stuck.as_secs_f64()))
    }
}

/// Watches until it is dropped.
pub(crate) struct Watchdog {
    watched: Watched,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Calls `bark` with a description, once, if a thread does one and the same for longer than the limit.
    pub(crate) fn new(limit: Duration, bark: impl FnOnce(String) + Send + 'static) -> Self {
        let (watched, is_over) = (Watched::default(), Arc::<AtomicBool>::default());
        let (ours, over) = (Arc::clone(&watched), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            // Relaxed: it only ends the loop.
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                // Relaxed: as above.
                LOOKS.fetch_add(1, Ordering::Relaxed);
                let look =
                    |(number, pulse): (usize, &mut Pulse)| Some(format!("thread {number}: {}", pulse.look(limit)?));
                let stuck: Vec<String> = ours.lock().iter_mut().enumerate().filter_map(look).collect();
                if !stuck.is_empty() {
                    return bark(format!("nothing moves any more: {}", stuck.join(", ")));
                }
            }
        });
        Watchdog { watched, is_over, thread: Some(thread) }
    }

    /// Watches these threads from now on, and no others.
    pub(crate) fn watch(&self, desks: &[Arc<Desk>]) {
        *self.watched.lock() = desks.iter().map(Pulse::new).collect();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Relaxed: it only ends the loop.
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        debug_assert!(ended.is_none_or(|ended| ended.is_ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_that_does_not_move_is_noticed_and_one_that_rests_is_not() {
        let (sender, receiver) = mpsc::channel();
        let watchdog = Watchdog::new(Duration::from_millis(150), move |text| sender.send(text).unwrap());
        let desks = [Arc::new(Desk::new()), Arc::new(Desk::new())];
        watchdog.watch(&desks);
        assert!(receiver.recv_timeout(Duration::from_millis(400)).is_err());
        desks[1].heart.doing.store(Deed::PageFill as u32, Ordering::Relaxed);
        let text = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(text.contains("thread 1: page fill") && !text.contains("thread 0"), "{text}");
    }
}
