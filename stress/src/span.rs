//! The vocabulary that the model, the contenders and the histories share: spans, owners, ids, what was found.
//!
//! The model does not use the library's own `Interval`: it must not share a mistake with what it judges, and it can so
//! be used in the library's unit tests, where the crate under test is another copy of itself.

use std::fmt;

/// Who a notifier belongs to.
pub type Owner = u32;

/// What a notifier is called on the model's side; chosen by whoever makes the operations, never used twice.
pub type NotifierId = u64;

/// An inclusive range of addresses, never empty, never inverted; `[0, u64::MAX]` is one.
///
/// ```
/// use stress::span::Span;
///
/// let span = Span::new(0x1000, 0x1fff).unwrap();
/// assert!(span.overlaps(Span::between(0x3000, 0x1fff)));
/// assert_eq!(Span::new(2, 1), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    start: u64,
    last: u64,
}

impl Span {
    /// All addresses.
    pub const FULL: Span = Span { start: 0, last: u64::MAX };

    /// `start ..= last`; `None` if that is inverted.
    pub const fn new(start: u64, last: u64) -> Option<Span> {
        if start > last { None } else { Some(Span { start, last }) }
    }

    /// The span that has these two ends, in whichever order they are given.
    pub const fn between(one: u64, other: u64) -> Span {
        if one <= other { Span { start: one, last: other } } else { Span { start: other, last: one } }
    }

    /// The span of one address.
    pub const fn point(address: u64) -> Span {
        Span { start: address, last: address }
    }

    /// The first address.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The last address, which belongs to the span.
    pub const fn last(self) -> u64 {
        self.last
    }

    /// Whether the two have an address in common.
    pub const fn overlaps(self, other: Span) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    /// Whether the address belongs to the span.
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address <= self.last
    }

    /// Whether all of `other` belongs to the span.
    pub const fn covers(self, other: Span) -> bool {
        self.start <= other.start && other.last <= self.last
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#x}-{:#x}", self.start, self.last)
    }
}

/// A notifier as a query shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// Its owner.
    pub owner: Owner,
    /// Its name.
    pub id: NotifierId,
    /// Its bounds in the version that was searched.
    pub span: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_inclusive_at_both_ends() {
        let span = Span::new(10, 20).unwrap();
        assert!(span.contains(10) && span.contains(20) && !span.contains(9) && !span.contains(21));
        assert!(span.overlaps(Span::point(20)) && span.overlaps(Span::between(10, 0)));
        assert!(!span.overlaps(Span::point(21)) && !span.overlaps(Span::between(0, 9)));
        assert!(span.covers(span) && Span::FULL.covers(span) && !span.covers(Span::FULL));
    }

    #[test]
    fn an_inverted_span_cannot_be_made() {
        assert_eq!(Span::new(1, 0), None);
        assert_eq!(Span::between(5, 3), Span::new(3, 5).unwrap());
    }
}
