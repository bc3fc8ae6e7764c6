//! What the scenarios share.

use notifier_index::{Event, Interval, Reason};
use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicBool, Ordering};

pub(crate) const UNMAP: Event = Event::new(Reason::Unmap);

pub(crate) fn between(start: u64, last: u64) -> Interval {
    Interval::new(start, last).expect("in order")
}

/// A number below `bound`, drawn by the scheduler, so that a schedule holds it.
pub(crate) fn draw(bound: u64) -> u64 {
    shuttle::rand::thread_rng().gen_range(0..bound)
}

/// A range within the first `pages`.
pub(crate) fn draw_range(pages: u64) -> Interval {
    let start = draw(pages);
    between(start, start + draw(pages - start))
}

/// A point where another task may go on. A look rather than a yield: a yield would change priorities.
pub(crate) fn step() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// Up to so many steps: a look is shorter than a change, so whoever looks without a pause is through before anything
/// has changed.
pub(crate) fn pause(longest: u64) {
    (0..draw(longest)).for_each(|_| step());
}

/// A mistake of the user's, rather than of the library, that the environment asks for: it begins with `r`.
pub(crate) fn is_broken_by_user(rule: &str) -> bool {
    static BUSTED: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("BUSTED").ok());
    BUSTED.as_deref() == Some(rule)
}
