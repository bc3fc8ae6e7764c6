//! What `event_listener` promises, on a checker's own mutex and condition variable: whoever listens before a
//! notification is woken by it.

use std::time::Instant;

use super::backend::{Condvar, Mutex};

/// Something to wait for.
pub(crate) struct Event {
    notification_count: Mutex<u64>,
    changed: Condvar,
}

impl Event {
    pub(crate) fn new() -> Self {
        Event { notification_count: Mutex::new(0), changed: Condvar::new() }
    }

    /// Wakes all who listen.
    pub(crate) fn notify(&self, _all: usize) {
        *self.notification_count.lock().expect("no holder panics") += 1;
        self.changed.notify_all();
    }

    pub(crate) fn listen(&self) -> Listener<'_> {
        Listener { event: self, heard: *self.notification_count.lock().expect("no holder panics") }
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

/// Woken by the next notification.
pub(crate) struct Listener<'e> {
    event: &'e Event,
    heard: u64,
}

impl Listener<'_> {
    pub(crate) fn wait(self) {
        let mut count = self.event.notification_count.lock().expect("no holder panics");
        while *count == self.heard {
            count = self.event.changed.wait(count).expect("no holder panics");
        }
    }

    /// A checker has no clock: the deadline is as good as past, unless the notification was first.
    pub(crate) fn wait_deadline(self, _deadline: Instant) -> Option<()> {
        let count = self.event.notification_count.lock().expect("no holder panics");
        (*count != self.heard).then_some(())
    }
}

/// `event_listener` pins its listeners to the stack by a macro of this name.
macro_rules! listener {
    ($event:expr => $listener:ident) => {
        let $listener = $event.listen();
    };
}
pub(crate) use listener;
