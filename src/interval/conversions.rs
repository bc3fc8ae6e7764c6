//! What an [`Interval`] is made from, and written as: addresses, ranges, pointers with a length, slices, text.
//!
//! None of them wraps: what is empty or reaches past the end of the address space is refused.

use std::error::Error;
use std::fmt;
use std::ops::{Range, RangeFrom, RangeInclusive};
use std::str::FromStr;

use super::{Interval, IntervalError};

impl From<u64> for Interval {
    /// Makes the interval of the one byte at an address: see [`point`](Interval::point).
    ///
    /// ```
    /// use notifier_index::Interval;
    ///
    /// assert_eq!(Interval::from(7), Interval::point(7));
    /// ```
    #[inline]
    fn from(address: u64) -> Interval {
        Interval::point(address)
    }
}

impl TryFrom<RangeInclusive<u64>> for Interval {
    type Error = IntervalError;

    /// Makes the interval of a range; one that is empty, as `9..=7` is, is refused.
    ///
    /// ```
    /// use notifier_index::{Interval, IntervalError};
    ///
    /// assert_eq!(Interval::try_from(7..=9), Interval::new(7, 9));
    /// assert_eq!(Interval::try_from(9..=7), Err(IntervalError::Inverted));
    ///
    /// let mut used_up = 7..=7;
    /// used_up.next();
    /// assert_eq!(Interval::try_from(used_up), Err(IntervalError::Empty));
    /// ```
    fn try_from(range: RangeInclusive<u64>) -> Result<Interval, IntervalError> {
        match Interval::new(*range.start(), *range.end()) {
            // A range that was iterated to its end keeps equal bounds and says only here that it is empty.
            Ok(_) if range.is_empty() => Err(IntervalError::Empty),
            made => made,
        }
    }
}

impl fmt::Display for Interval {
    /// Writes the bounds in hexadecimal, in the manner of a maps file.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#x}-{:#x}", self.start, self.last)
    }
}

impl TryFrom<Range<u64>> for Interval {
    type Error = IntervalError;

    /// Makes the interval of a range that does not include its end.
    ///
    /// ```
    /// use notifier_index::{Interval, IntervalError};
    ///
    /// assert_eq!(Interval::try_from(0x1000..0x2000), Interval::new(0x1000, 0x1fff));
    /// assert_eq!(Interval::try_from(7..7), Err(IntervalError::Empty));
    /// assert_eq!(Interval::try_from(9..7), Err(IntervalError::Inverted));
    /// ```
    fn try_from(range: Range<u64>) -> Result<Interval, IntervalError> {
        match range.end.checked_sub(range.start) {
            None => Err(IntervalError::Inverted),
            Some(len) => Interval::from_start_len(range.start, len),
        }
    }
}

impl From<RangeFrom<u64>> for Interval {
    /// Makes the interval from an address to the end of the address space.
    ///
    /// ```
    /// use notifier_index::Interval;
    ///
    /// assert_eq!(Interval::from(0..), Interval::FULL);
    /// ```
    #[inline]
    fn from(range: RangeFrom<u64>) -> Interval {
        Interval::from_ordered(range.start, u64::MAX)
    }
}

impl Interval {
    /// Makes the interval of the bytes of `len` values that begin at a pointer, which is not followed.
    ///
    /// ```
    /// use notifier_index::{Interval, IntervalError};
    ///
    /// let words = [1_u64, 2, 3];
    /// let bytes = Interval::from_ptr_len(words.as_ptr(), words.len())?;
    /// assert_eq!(bytes.byte_count(), 24);
    /// assert!(bytes.contains(&raw const words[2] as u64));
    /// assert_eq!(Interval::from_ptr_len(words.as_ptr(), 0), Err(IntervalError::Empty));
    /// # Ok::<(), IntervalError>(())
    /// ```
    ///
    /// # Errors
    /// [`IntervalError::Empty`] if there are no bytes, also because `T` has none; [`IntervalError::Overflow`] if they would
    /// reach past the end of the address space.
    pub fn from_ptr_len<T>(start: *const T, len: usize) -> Result<Interval, IntervalError> {
        let bytes = (len as u64).checked_mul(size_of::<T>() as u64).ok_or(IntervalError::Overflow)?;
        Interval::from_start_len(start.addr() as u64, bytes)
    }
}

impl<T> TryFrom<(*const T, usize)> for Interval {
    type Error = IntervalError;

    /// See [`from_ptr_len`](Interval::from_ptr_len).
    fn try_from((start, len): (*const T, usize)) -> Result<Interval, IntervalError> {
        Interval::from_ptr_len(start, len)
    }
}

impl<T> TryFrom<(*mut T, usize)> for Interval {
    type Error = IntervalError;

    /// See [`from_ptr_len`](Interval::from_ptr_len).
    fn try_from((start, len): (*mut T, usize)) -> Result<Interval, IntervalError> {
        Interval::from_ptr_len(start.cast_const(), len)
    }
}

impl<T> TryFrom<&[T]> for Interval {
    type Error = IntervalError;

    /// Makes the interval of a slice's bytes; one without any is refused.
    ///
    /// ```
    /// use notifier_index::{Interval, IntervalError};
    ///
    /// let buffer = vec![0_u8; 4096];
    /// assert_eq!(Interval::try_from(&buffer[..])?.byte_count(), 4096);
    /// assert_eq!(Interval::try_from(&buffer[..0]), Err(IntervalError::Empty));
    /// # Ok::<(), IntervalError>(())
    /// ```
    fn try_from(slice: &[T]) -> Result<Interval, IntervalError> {
        Interval::from_ptr_len(slice.as_ptr(), slice.len())
    }
}

/// A text is not what `Display` writes of an [`Interval`].
///
/// ```
/// use notifier_index::{Interval, IntervalError, ParseIntervalError};
///
/// assert_eq!("0x7-9".parse::<Interval>(), Err(ParseIntervalError::Syntax));
/// assert_eq!("0x9-0x7".parse::<Interval>(), Err(ParseIntervalError::Bounds(IntervalError::Inverted)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ParseIntervalError {
    /// It is not two addresses in hexadecimal, each begun by `0x`, with a hyphen between them.
    Syntax,
    /// The addresses do not make an interval.
    Bounds(IntervalError),
}

impl fmt::Display for ParseIntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseIntervalError::Syntax => {
                f.write_str("not an interval: two addresses as in 0x1000-0x1fff are expected")
            }
            ParseIntervalError::Bounds(error) => error.fmt(f),
        }
    }
}

impl Error for ParseIntervalError {}

impl FromStr for Interval {
    type Err = ParseIntervalError;

    /// Reads what `Display` writes.
    ///
    /// ```
    /// use notifier_index::Interval;
    ///
    /// let page: Interval = "0x1000-0x1fff".parse()?;
    /// assert_eq!(page.to_string().parse(), Ok(page));
    /// # Ok::<(), notifier_index::ParseIntervalError>(())
    /// ```
    fn from_str(text: &str) -> Result<Interval, ParseIntervalError> {
        let (start, last) = text.split_once('-').ok_or(ParseIntervalError::Syntax)?;
        Interval::new(address(start)?, address(last)?).map_err(ParseIntervalError::Bounds)
    }
}

fn address(text: &str) -> Result<u64, ParseIntervalError> {
    let digits = text.strip_prefix("0x").ok_or(ParseIntervalError::Syntax)?;
    // `from_str_radix` would take a sign.
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u64::from_str_radix(digits, 16).ok()).flatten().ok_or(ParseIntervalError::Syntax)
}

/// As a pair of its first and its last address; a pair that makes no interval is refused.
#[cfg(feature = "serde")]
mod with_serde {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    use super::Interval;

    impl Serialize for Interval {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            (self.start(), self.last()).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Interval {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let (start, last) = <(u64, u64)>::deserialize(deserializer)?;
            Interval::new(start, last).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_taken_up_to_both_ends() {
        assert_eq!(Interval::try_from(0..u64::MAX), Interval::new(0, u64::MAX - 1));
        assert_eq!(Interval::try_from(u64::MAX..u64::MAX), Err(IntervalError::Empty));
        assert_eq!(Interval::try_from(Range { start: u64::MAX, end: 0 }), Err(IntervalError::Inverted));
        assert_eq!(Interval::from(u64::MAX..), Interval::point(u64::MAX));
    }

    #[test]
    fn pointers_with_a_length_never_wrap() {
        let at = |address: usize| std::ptr::without_provenance::<u32>(address);
        let last_word = usize::MAX - 3;
        assert_eq!(Interval::from_ptr_len(at(last_word), 1), Interval::new(last_word as u64, usize::MAX as u64));
        #[cfg(target_pointer_width = "64")]
        assert_eq!(Interval::from_ptr_len(at(last_word), 2), Err(IntervalError::Overflow));
        assert_eq!(Interval::from_ptr_len(at(4), usize::MAX), Err(IntervalError::Overflow));
        assert_eq!(Interval::from_ptr_len(std::ptr::null::<()>(), 9), Err(IntervalError::Empty));
        assert_eq!(Interval::try_from((at(8), 2)), Interval::new(8, 15));
        assert_eq!(Interval::try_from((at(8).cast_mut(), 2)), Interval::new(8, 15));
    }

    #[test]
    fn text_is_read_as_it_is_written_and_nothing_else() {
        for interval in [Interval::FULL, Interval::point(0), Interval::point(u64::MAX), Interval::from_ordered(7, 255)]
        {
            assert_eq!(interval.to_string().parse(), Ok(interval));
        }
        let wrong =
            ["", "-", "0x-0x", "0x1", "1-2", "0x1-2", "0x1 -0x2", "0x+1-0x2", "0x1-0x2-0x3", "0x10000000000000000-0x1"];
        for text in wrong {
            assert_eq!(text.parse::<Interval>(), Err(ParseIntervalError::Syntax), "{text:?}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn what_is_read_back_is_checked() {
        let page = Interval::from_ordered(0x1000, u64::MAX);
        let text = serde_json::to_string(&page).unwrap();
        assert_eq!((text.as_str(), serde_json::from_str(&text).ok()), ("[4096,18446744073709551615]", Some(page)));
        assert!(serde_json::from_str::<Interval>("[9,7]").is_err());
    }
}
