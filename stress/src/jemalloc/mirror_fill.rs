//! The filler's protocol, step by step: begin, read, lock, ask, fill. Once through a hit, once through a held handle, which
//! waits where a hit does not.

use std::time::Duration;

use notifier_index::{BeginError, Held, Hit, Interval};

use crate::jemalloc::extent_index::Fill;
use crate::jemalloc::indexed_extents::{Extent, common, span};
use crate::jemalloc::page_mirror::{Commit, PageMirror};

/// How long a filler waits for sections.
const PATIENCE: Duration = Duration::from_millis(2);

/// Mirrors what the extent and the range have in common, through a hit.
pub(crate) fn through_hit(mirror: &PageMirror, hit: Hit<'_, Extent>, range: Interval, linger: impl FnOnce()) -> Fill {
    let Some(shared) = common(hit.interval(), range) else { return Fill::Nowhere };
    let ticket = match hit.read_begin(shared) {
        Ok(ticket) => ticket,
        Err(BeginError::WouldWait) => return through_held(mirror, &hit.hold(), range, linger),
        Err(error) => return not_begun(error),
    };
    let read = mirror.read(span(shared));
    linger();
    outcome(mirror.commit(span(shared), &read, || hit.read_retry(ticket)), &read)
}

/// Mirrors what the extent and the range have in common, through a held handle.
pub(crate) fn through_held(mirror: &PageMirror, held: &Held<Extent>, range: Interval, linger: impl FnOnce()) -> Fill {
    let Some(shared) = common(held.interval(), range) else { return Fill::Nowhere };
    let ticket = match held.read_begin_timeout(shared, PATIENCE) {
        Ok(ticket) => ticket,
        Err(error) => return not_begun(error),
    };
    let read = mirror.read(span(shared));
    linger();
    outcome(mirror.commit(span(shared), &read, || held.read_retry(ticket)), &read)
}

fn not_begun(error: BeginError) -> Fill {
    if error == BeginError::TimedOut { Fill::TimedOut } else { Fill::Nowhere }
}

fn outcome(commit: Commit, read: &[u64]) -> Fill {
    match commit {
        Commit::Retry => Fill::Retry,
        Commit::Filled => Fill::Filled(read.len() as u64),
        Commit::Older(text) => Fill::Older(text),
    }
}
