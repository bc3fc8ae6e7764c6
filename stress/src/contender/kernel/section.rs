//! Sections: start, the walk over the frozen tree, end.
//!
//! The walk holds the tree by a pointer of its own and no lock. The pointer goes before the section ends, also when a
//! callback panics: the walk owns it, and the section, made before, outlives the walk.

use std::sync::Arc;

use super::notifier::{KernelEvent, KernelNotifier, KernelRange, KernelSequence, KernelWouldBlock};
use super::state::Tree;
use super::subscription::KernelSubscription;
use super::{KernelNotifiers, key};
use crate::span::Span;

/// An active section; dropping it ends it.
#[derive(Debug)]
#[must_use = "the section ends when this is dropped"]
pub struct KernelSection<'n, N> {
    notifiers: &'n KernelNotifiers<N>,
    sequence: u64,
}

impl<N> KernelSection<'_, N> {
    /// The sequence when it started; odd if it hit anything, or if another active section had.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl<N> Drop for KernelSection<'_, N> {
    fn drop(&mut self) {
        self.notifiers.end();
    }
}

impl<N: KernelNotifier> KernelNotifiers<N> {
    /// Begins to change a range: tells every overlapping notifier in ascending order, each outside the lock.
    ///
    /// A callback that refuses is counted, and the walk goes on.
    pub fn invalidate_start(&self, span: Span, event: KernelEvent) -> KernelSection<'_, N> {
        let (section, frozen) = self.start(span);
        if let Some(frozen) = frozen {
            // A walk that may block cannot be refused.
            let _ = self.walk(frozen, KernelRange { span, event, blockable: true }, section.sequence);
        }
        section
    }

    /// The same, where callbacks must not wait; the first that refuses ends the walk and the section.
    pub fn invalidate_start_nonblock(
        &self,
        span: Span,
        event: KernelEvent,
    ) -> Result<KernelSection<'_, N>, KernelWouldBlock> {
        let (section, frozen) = self.start(span);
        if let Some(frozen) = frozen {
            self.walk(frozen, KernelRange { span, event, blockable: false }, section.sequence)?;
        }
        Ok(section)
    }

    /// The range has changed. The last section of a phase does what was deferred, wakes those who wait and releases
    /// what was removed.
    pub fn invalidate_end(&self, section: KernelSection<'_, N>) {
        drop(section);
    }

    /// Tells every notifier that everything goes away; nothing is removed by it.
    pub fn release(&self) {
        drop(self.invalidate_start(Span::FULL, KernelEvent::Release));
    }

    fn start(&self, span: Span) -> (KernelSection<'_, N>, Option<Arc<Tree<N>>>) {
        let (sequence, frozen) = self.state.lock().start(span);
        (KernelSection { notifiers: self, sequence }, frozen)
    }

    fn walk(&self, frozen: Arc<Tree<N>>, range: KernelRange, sequence: u64) -> Result<(), KernelWouldBlock> {
        for entry in frozen.values(key::query(range.span)) {
            let subscription = entry.subscription();
            let sequence = KernelSequence::new(sequence, subscription.sequence());
            if !subscription.payload().invalidate(&range, sequence) {
                if !range.blockable {
                    return Err(KernelWouldBlock);
                }
                self.state.lock().count_refused();
            }
        }
        Ok(())
    }
}

impl<N> KernelNotifiers<N> {
    fn end(&self) {
        let ended = self.state.lock().end();
        if let Some(released) = ended {
            self.quiescence.notify_all();
            if !released.is_empty() {
                self.release_payloads(released);
            }
        }
    }

    /// Drops payloads under no lock, then tells `synchronize`.
    fn release_payloads(&self, mut released: Vec<Arc<KernelSubscription<N>>>) {
        released.clear();
        self.state.lock().end_release(released);
        self.quiescence.notify_all();
    }
}
