//! A channel that ThreadSanitizer sees through: its lock and its condition are compiled from source, unlike those of the
//! standard library, on which other channels stand.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Longer than any test takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Messages in their order, a bounded number at once.
pub(crate) struct Mailbox<T> {
    messages: Mutex<VecDeque<T>>,
    capacity: usize,
    changed: Condvar,
}

impl<T> Mailbox<T> {
    pub(crate) const fn new(capacity: usize) -> Self {
        Mailbox { messages: Mutex::new(VecDeque::new()), capacity, changed: Condvar::new() }
    }

    /// Waits while it is full.
    pub(crate) fn post(&self, message: T) {
        let mut messages = self.messages.lock();
        let is_full = |messages: &mut VecDeque<T>| messages.len() == self.capacity;
        let end = self.changed.wait_while_for(&mut messages, is_full, PATIENCE);
        assert!(!end.timed_out(), "nobody takes");
        messages.push_back(message);
        self.changed.notify_all();
    }

    /// Waits while it is empty, at most so long.
    pub(crate) fn take(&self, limit: Duration) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut messages = self.messages.lock();
        while messages.is_empty() {
            if self.changed.wait_until(&mut messages, deadline).timed_out() {
                break;
            }
        }
        let message = messages.pop_front();
        self.changed.notify_all();
        message
    }
}
