//! Address intervals.
//!
//! An [`Interval`] is `start ..= last`: inclusive at both ends, so that the whole address space and its last
//! byte can be said, and with no way to be empty or inverted, so that nothing behind it has to ask. What it can be made
//! from, and written as, stands in `conversions`.

mod conversions;

pub use conversions::ParseIntervalError;

use std::error::Error;
use std::fmt;

/// An inclusive interval of addresses, never empty and never inverted.
///
/// Intervals are ordered by their start, then by their last address.
///
/// ```
/// use notifier_index::Interval;
///
/// let page = Interval::new(0x1000, 0x1fff)?;
/// assert_eq!(page, Interval::from_start_len(0x1000, 0x1000)?);
/// assert!(page.contains(0x1fff) && !page.contains(0x2000));
/// assert_eq!(page.to_string(), "0x1000-0x1fff");
/// # Ok::<(), notifier_index::IntervalError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Interval {
    start: u64,
    last: u64,
}

impl Interval {
    /// The whole address space, `[0, u64::MAX]`.
    ///
    /// ```
    /// use notifier_index::Interval;
    ///
    /// assert!(Interval::FULL.covers(Interval::point(u64::MAX)));
    /// assert_eq!(Interval::FULL.byte_count(), 1 << 64);
    /// ```
    pub const FULL: Interval = Interval { start: 0, last: u64::MAX };

    /// Makes the interval from `start` to `last`, both included.
    ///
    /// ```
    /// use notifier_index::{Interval, IntervalError};
    ///
    /// assert_eq!(Interval::new(7, 9)?.byte_count(), 3);
    /// assert_eq!(Interval::new(9, 7), Err(IntervalError::Inverted));
    /// # Ok::<(), IntervalError>(())
    /// ```
    ///
    /// # Errors
    /// [`IntervalError::Inverted`] if `last` lies before `start`.
    #[inline]
    pub const fn new(start: u64, last: u64) -> Result<Interval, IntervalError> {
        if start > last { Err(IntervalError::Inverted) } else { Ok(Interval { start, last }) }
    }

    /// Makes the interval of the one byte at `address`.
    ///
    /// ```
    /// use notifier_index::Interval;
    ///
    /// assert_eq!(Interval::point(5), Interval::new(5, 5)?);
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    #[inline]
    pub const fn point(address: u64) -> Interval {
        Interval { start: address, last: address }
    }

    /// Makes the interval of `len` bytes that begins at `start`.
    ///
    /// ```
    /// use notifier_index::{Interval, IntervalError};
    ///
    /// assert_eq!(Interval::from_start_len(u64::MAX, 1)?, Interval::point(u64::MAX));
    /// assert_eq!(Interval::from_start_len(8, 0), Err(IntervalError::Empty));
    /// assert_eq!(Interval::from_start_len(u64::MAX, 2), Err(IntervalError::Overflow));
    /// # Ok::<(), IntervalError>(())
    /// ```
    ///
    /// # Errors
    /// [`IntervalError::Empty`] if `len` is zero, [`IntervalError::Overflow`] if the interval would reach past
    /// `u64::MAX`.
    #[inline]
    pub const fn from_start_len(start: u64, len: u64) -> Result<Interval, IntervalError> {
        if len == 0 {
            return Err(IntervalError::Empty);
        }
        match start.checked_add(len - 1) {
            Some(last) => Ok(Interval { start, last }),
            None => Err(IntervalError::Overflow),
        }
    }

    /// Makes an interval of bounds that the caller already knows to be in order.
    #[inline]
    pub(crate) const fn from_ordered(start: u64, last: u64) -> Interval {
        debug_assert!(start <= last);
        Interval { start, last }
    }

    /// The first address.
    ///
    /// ```
    /// # use notifier_index::Interval;
    /// assert_eq!(Interval::new(7, 9)?.start(), 7);
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    #[inline]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The last address, which still belongs to the interval.
    ///
    /// ```
    /// # use notifier_index::Interval;
    /// assert_eq!(Interval::new(7, 9)?.last(), 9);
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    #[inline]
    pub const fn last(self) -> u64 {
        self.last
    }

    /// The number of addresses, from 1 to 2^64; hence the wide type.
    ///
    /// ```
    /// # use notifier_index::Interval;
    /// assert_eq!(Interval::point(3).byte_count(), 1);
    /// ```
    #[inline]
    pub const fn byte_count(self) -> u128 {
        (self.last - self.start) as u128 + 1
    }

    /// Whether the two share an address.
    ///
    /// ```
    /// # use notifier_index::Interval;
    /// let low = Interval::new(0, 9)?;
    /// assert!(low.overlaps(Interval::new(9, 20)?));
    /// assert!(!low.overlaps(Interval::new(10, 20)?));
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    #[inline]
    pub const fn overlaps(self, other: Interval) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    /// Whether `address` lies in the interval.
    ///
    /// ```
    /// # use notifier_index::Interval;
    /// assert!(Interval::new(0, 9)?.contains(9));
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    #[inline]
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address <= self.last
    }

    /// Whether every address of `other` lies in the interval.
    ///
    /// ```
    /// # use notifier_index::Interval;
    /// let low = Interval::new(0, 9)?;
    /// assert!(low.covers(low) && low.covers(Interval::point(4)));
    /// assert!(!low.covers(Interval::new(9, 10)?));
    /// # Ok::<(), notifier_index::IntervalError>(())
    /// ```
    #[inline]
    pub const fn covers(self, other: Interval) -> bool {
        self.start <= other.start && other.last <= self.last
    }
}

/// Why bounds do not make an [`Interval`].
///
/// ```
/// use notifier_index::{Interval, IntervalError};
///
/// let error = Interval::new(2, 1).unwrap_err();
/// assert_eq!(error, IntervalError::Inverted);
/// assert_eq!(error.to_string(), "the last address lies before the start");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum IntervalError {
    /// The last address lies before the start.
    Inverted,
    /// The interval holds no address.
    Empty,
    /// The interval reaches past `u64::MAX`.
    Overflow,
}

impl fmt::Display for IntervalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            IntervalError::Inverted => "the last address lies before the start",
            IntervalError::Empty => "the interval holds no address",
            IntervalError::Overflow => "the interval reaches past the end of the address space",
        })
    }
}

impl Error for IntervalError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_checked_at_the_edges_of_the_address_space() {
        assert_eq!(Interval::new(0, u64::MAX), Ok(Interval::FULL));
        assert_eq!(Interval::from_start_len(1, u64::MAX), Interval::new(1, u64::MAX));
        assert_eq!(Interval::from_start_len(2, u64::MAX), Err(IntervalError::Overflow));
        assert_eq!(Interval::from_start_len(0, 0), Err(IntervalError::Empty));
        assert_eq!(Interval::new(u64::MAX, 0), Err(IntervalError::Inverted));
    }

    #[test]
    fn relations_agree_with_their_definition_on_small_intervals() {
        let all = || (0..5u64).flat_map(|start| (start..5).map(move |last| Interval::from_ordered(start, last)));
        for (a, b) in all().flat_map(|a| all().map(move |b| (a, b))) {
            let shared = (0..5).filter(|&x| a.contains(x) && b.contains(x)).count() as u128;
            assert_eq!(a.overlaps(b), shared > 0, "{a} {b}");
            assert_eq!(a.covers(b), shared == b.byte_count(), "{a} {b}");
        }
    }

    #[test]
    fn errors_are_lower_case_without_a_full_stop() {
        for error in [IntervalError::Inverted, IntervalError::Empty, IntervalError::Overflow] {
            let text = error.to_string();
            assert!(text.starts_with(char::is_lowercase) && !text.ends_with('.'), "{text}");
        }
    }
}
