//! Many things that are given at once, and what comes back of them.

use std::fmt;
use std::iter::Fuse;
use std::vec;

/// What an iterator gave and could still give, in its order: it comes back where a call that took it is refused.
///
/// ```
/// use notifier_index::{InsertError, Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<u64>();
/// index.close().unwrap();
/// let refused = index.insert_many(&ops, (0..3).map(|at| (Interval::point(at), at * 10))).unwrap_err();
/// assert_eq!(refused.reason, InsertError::Closed);
/// assert_eq!(refused.value.map(|(_, payload)| payload).collect::<Vec<_>>(), [0, 10, 20]);
/// ```
#[must_use = "what was refused is dropped with it"]
pub struct Returned<I: Iterator> {
    taken: vec::IntoIter<I::Item>,
    /// The one for which there was no room.
    next: Option<I::Item>,
    rest: Option<Fuse<I>>,
}

impl<I: Iterator> Returned<I> {
    /// All that the iterator gives, or all of it back if there is no memory to keep it.
    pub(crate) fn gather(items: impl IntoIterator<IntoIter = I>) -> Result<Vec<I::Item>, Self> {
        let (mut taken, mut items) = (Vec::new(), items.into_iter().fuse());
        if taken.try_reserve_exact(items.size_hint().0).is_err() {
            return Err(Self::new(taken, None, Some(items)));
        }
        while let Some(item) = items.next() {
            if taken.try_reserve(1).is_err() {
                return Err(Self::new(taken, Some(item), Some(items)));
            }
            taken.push(item);
        }
        Ok(taken)
    }

    /// What was gathered, to the last.
    pub(crate) fn all(taken: Vec<I::Item>) -> Self {
        Self::new(taken, None, None)
    }

    fn new(taken: Vec<I::Item>, next: Option<I::Item>, rest: Option<Fuse<I>>) -> Self {
        Returned { taken: taken.into_iter(), next, rest }
    }
}

impl<I: Iterator> Iterator for Returned<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.taken.next().or_else(|| self.next.take()).or_else(|| self.rest.as_mut()?.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let known = self.taken.len() + usize::from(self.next.is_some());
        let (least, most) = self.rest.as_ref().map_or((0, Some(0)), Iterator::size_hint);
        (known.saturating_add(least), most.and_then(|most| known.checked_add(most)))
    }
}

impl<I: Iterator> fmt::Debug for Returned<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Returned({} or more)", self.size_hint().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_kept_comes_back_to_the_last() {
        // More than any memory holds, says the iterator of itself.
        let boastful = std::iter::repeat_n(7_u64, usize::MAX);
        let returned = Returned::gather(boastful).unwrap_err();
        assert_eq!(returned.size_hint().0, usize::MAX);
        assert_eq!(format!("{returned:?}"), format!("Returned({} or more)", usize::MAX));
        assert_eq!(returned.take(2).collect::<Vec<_>>(), [7, 7]);
        let whole = Returned::<std::ops::Range<u32>>::new(vec![0, 1], Some(2), Some((3..5).fuse()));
        assert_eq!(whole.size_hint(), (5, Some(5)));
        assert_eq!(whole.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let gathered = Returned::gather(0..3).unwrap();
        assert_eq!(Returned::<std::ops::Range<u32>>::all(gathered).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
