//! The reading side of collision-retry, and the wait for quiescence that it shares with removal.

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::state::State;
use super::{KernelNotifiers, KernelSubscription};

impl<N> KernelNotifiers<N> {
    /// Begins to read what the notifier covers; the ticket is for [`KernelSubscription::read_retry`].
    ///
    /// If the notifier was told, inserted or moved in the present phase, this waits until the phase ends, which is
    /// when *no* section at all is active any more; there is no bound on that. It may be that the ticket is
    /// then stale already.
    ///
    /// # Panics
    /// If the notifier is registered elsewhere.
    #[inline]
    pub fn read_begin(&self, subscription: &KernelSubscription<N>) -> u64 {
        self.own(subscription);
        let mut state = self.state.lock();
        // Relaxed: an older value than the last one set is found out by `read_retry`, under the user's lock.
        let ticket = subscription.sequence().load(Ordering::Relaxed);
        if ticket == state.sequence() {
            self.wait_past(&mut state, ticket);
        }
        ticket
    }

    /// Waits until the sequence is another. It is odd, so it is another when the phase has ended.
    #[cold]
    pub(super) fn wait_past(&self, state: &mut MutexGuard<'_, State<N>>, sequence: u64) {
        state.begin_wait();
        while state.sequence() == sequence {
            self.quiescence.wait(state);
        }
        state.end_wait();
    }
}
