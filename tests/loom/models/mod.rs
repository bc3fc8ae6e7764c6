//! The models, and what they share.

mod publication;

use crate::runner::Model;
use notifier_index::Interval;

pub(crate) const MODELS: &[Model] = &[publication::VISIBLE];

/// An interval from literals.
fn interval(start: u64, last: u64) -> Interval {
    Interval::new(start, last).expect("in order")
}
