//! The keys of the trees: as in [`locked`](super::super::locked), the address above, the order of insertion below.

use std::ops::Range;

use crate::span::Span;

/// The half-open range that stands for an inclusive one.
pub(super) type Key = Range<u128>;

/// The key of the notifier that was inserted as the `serial`-th.
pub(super) fn key(span: Span, serial: u64) -> Key {
    bound(span.start(), serial)..bound(span.last(), u64::MAX)
}

/// The key that overlaps those of all notifiers that overlap the span.
#[inline]
pub(super) fn query(span: Span) -> Key {
    key(span, 0)
}

pub(super) fn span_of(key: &Key) -> Span {
    Span::between((key.start >> 64) as u64, (key.end >> 64) as u64)
}

fn bound(address: u64, below: u64) -> u128 {
    (u128::from(address) << 64) | u128::from(below)
}
