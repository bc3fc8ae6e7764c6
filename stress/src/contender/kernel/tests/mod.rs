//! One test for each rule of the kernel's; what waits is observed by counts, never by sleeping.

mod changes;
mod model;
mod reading;
mod sections;
mod torture;

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use super::*;

/// A payload that notes how it is called.
#[derive(Debug, Default)]
struct Watcher {
    calls: Mutex<Vec<(KernelRange, u64)>>,
    refuses: AtomicBool,
    _dropped: DropCount,
}

impl Watcher {
    fn counting_drops(drops: &Arc<AtomicUsize>) -> Self {
        Watcher { _dropped: DropCount(Some(Arc::clone(drops))), ..Watcher::default() }
    }

    fn refusing() -> Self {
        Watcher { refuses: AtomicBool::new(true), ..Watcher::default() }
    }

    fn call_count(&self) -> usize {
        self.calls.lock().len()
    }
}

impl KernelNotifier for Watcher {
    fn invalidate(&self, range: &KernelRange, sequence: KernelSequence<'_>) -> bool {
        let mut calls = self.calls.lock();
        calls.push((*range, sequence.value()));
        if self.refuses.load(Ordering::Relaxed) {
            return false;
        }
        sequence.set();
        true
    }
}

/// Counts its own drop.
#[derive(Debug, Default)]
struct DropCount(Option<Arc<AtomicUsize>>);

impl Drop for DropCount {
    fn drop(&mut self) {
        self.0.iter().for_each(|drops| {
            drops.fetch_add(1, Ordering::Relaxed);
        });
    }
}

/// A payload that does something when it is called, and then sets its sequence.
struct Doing<F>(F);

impl<F: Fn() + Send + Sync> KernelNotifier for Doing<F> {
    fn invalidate(&self, _range: &KernelRange, sequence: KernelSequence<'_>) -> bool {
        (self.0)();
        sequence.set();
        true
    }
}

/// Lets other threads run until something is so; fails where that takes absurdly long.
fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "what was waited for did not happen");
        std::thread::yield_now();
    }
}

fn page(number: u64) -> Span {
    Span::between(number << 12, (number << 12) | 0xfff)
}

fn start<N: KernelNotifier>(notifiers: &KernelNotifiers<N>, span: Span) -> KernelSection<'_, N> {
    notifiers.invalidate_start(span, KernelEvent::Unmap)
}

fn found<N>(notifiers: &KernelNotifiers<N>, span: Span) -> Option<Span> {
    notifiers.find_with(0, span, |_, span| span)
}
