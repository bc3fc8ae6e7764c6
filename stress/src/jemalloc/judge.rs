//! What a right answer is: the checks on single answers, as plain functions of what was asked and what was said.

use crate::jemalloc::extent_index::{Answer, Cover, arena_of};
use crate::jemalloc::live::Live;
use crate::span::{Found, Span};

/// The extent that holds this address of a live allocation was found.
pub(crate) fn holds(answer: &Answer, address: u64, live: Live) -> Result<(), String> {
    match answer.found {
        None => Err(format!("live address {address:#x} of {:?} is not found in version {}", live.span, answer.version)),
        Some(found) if !found.span.contains(address) => {
            Err(format!("live address {address:#x} is said to be in {:?}, version {}", found.span, answer.version))
        }
        Some(_) => Ok(()),
    }
}

/// The arena of what was found is the one that jemalloc named for the allocation.
pub(crate) fn belongs(found: &Found, live: Live) -> Result<(), String> {
    let arena = arena_of(found.id);
    if arena == live.arena {
        return Ok(());
    }
    Err(format!("{:?} is of arena {} by arenas.lookup, of {arena} by the index", live.span, live.arena))
}

/// The answer looks at a version that is not older than what had been done before the question.
pub(crate) fn fresh(answer: &Answer, floor: u64) -> Result<(), String> {
    if answer.version >= floor {
        return Ok(());
    }
    Err(format!("a find looked at version {} although {floor} had returned before it began", answer.version))
}

/// Every address of the range is covered exactly once, and all ways of asking agree on that.
pub(crate) fn unbroken(range: Span, cover: &Cover) -> Result<(), String> {
    tiled(range, &cover.all).map_err(|fault| format!("{range:?}: {fault}"))?;
    if let Some(count) = cover.any_owner_count
        && count != cover.all.len()
    {
        return Err(format!("{range:?}: {} extents by owner, {count} over all owners", cover.all.len()));
    }
    match cover.gap {
        Some(Some(gap)) => Err(format!("{range:?}: covered, but also said to be in the gap {gap:?}")),
        Some(None) | None => Ok(()),
    }
}

/// The first begins no later than the range, each one begins where the one before ended, the last reaches the end.
fn tiled(range: Span, all: &[Found]) -> Result<(), String> {
    let [first, ..] = all else {
        return Err("nothing covers it".to_owned());
    };
    if first.span.start() > range.start() {
        return Err(format!("a hole before {:?}", first.span));
    }
    for pair in all.windows(2) {
        let (left, right) = (pair[0].span, pair[1].span);
        if right.start() <= left.last() {
            return Err(format!("covered twice by {left:?} and {right:?}"));
        }
        if right.start() != left.last() + 1 {
            return Err(format!("a hole between {left:?} and {right:?}"));
        }
    }
    match all.last() {
        Some(last) if last.span.last() < range.last() => Err(format!("a hole after {:?}", last.span)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jemalloc::live::Place;

    fn found(start: u64, last: u64) -> Found {
        Found { owner: 0, id: 5, span: Span::between(start, last) }
    }

    fn live() -> Live {
        let place = Place::default();
        place.show(Span::between(20, 29), 5);
        place.look().unwrap()
    }

    #[test]
    fn an_answer_must_hold_the_address_for_the_right_arena() {
        let answer = |found| Answer { version: 3, found };
        assert!(holds(&answer(Some(found(0, 99))), 25, live()).is_ok());
        assert!(holds(&answer(Some(found(0, 24))), 25, live()).is_err());
        assert!(holds(&answer(None), 25, live()).is_err());
        assert!(belongs(&found(0, 99), live()).is_ok());
        assert!(belongs(&Found { id: 6, ..found(0, 99) }, live()).is_err());
        assert!(fresh(&answer(None), 3).is_ok() && fresh(&answer(None), 4).is_err());
    }

    #[test]
    fn holes_and_double_covers_are_seen_wherever_they_are() {
        let range = Span::between(20, 29);
        let of = |all: &[Found]| unbroken(range, &Cover { all: all.to_vec(), any_owner_count: None, gap: None });
        assert!(of(&[found(20, 29)]).is_ok() && of(&[found(0, 24), found(25, 99)]).is_ok());
        let broken: [&[Found]; 6] = [
            &[],
            &[found(21, 29)],
            &[found(20, 28)],
            &[found(20, 24), found(26, 29)],
            &[found(20, 25), found(25, 29)],
            &[found(20, 29), found(20, 29)],
        ];
        broken.iter().for_each(|all| assert!(of(all).is_err(), "{all:?}"));
    }

    #[test]
    fn ways_of_asking_that_disagree_are_seen() {
        let range = Span::between(20, 29);
        let all = vec![found(0, 99)];
        let of =
            |count, gap| unbroken(range, &Cover { all: all.clone(), any_owner_count: Some(count), gap: Some(gap) });
        assert!(of(1, None).is_ok());
        assert!(of(2, None).is_err() && of(1, Some(range)).is_err());
    }
}
