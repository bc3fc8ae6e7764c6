//! Who takes part: the casts that the promise is shown for.

use super::world::Pages;

/// One thing that an owner does to the notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Registers it.
    Insert(Pages),
    /// Gives it bounds that hold the old ones.
    Grow(Pages),
    /// Gives it bounds that lack some of the old ones; a move is that too.
    Shrink(Pages),
    /// Unregisters it and waits. The last change of a script, since it consumes the registration.
    Remove,
    /// Waits for a removal that the callback of the first section has begun.
    AwaitRemoval,
}

/// Which actors run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    /// What it shows.
    pub(super) name: &'static str,
    /// The bounds that the notifier has at first.
    pub(super) tree: Pages,
    /// The ranges of at most two sections.
    pub(super) sections: &'static [Pages],
    /// The ranges of at most two fillers.
    pub(super) fillers: &'static [Pages],
    /// The scripts of at most two owners.
    pub(super) owners: &'static [&'static [Change]],
    /// The number of states that there must at least be: fewer would mean that the model has shrunk.
    pub(super) state_floor: usize,
}

impl Cast {
    /// Whether a filler can meet a section.
    pub(super) fn has_collisions(&self) -> bool {
        self.fillers.iter().any(|fill| self.sections.iter().any(|section| section.overlaps(*fill)))
    }

    /// Whether that owner waits until the notifier is removed.
    pub(super) fn awaits_removal(&self, owner: usize) -> bool {
        let ends_it = |change: &Change| matches!(change, Change::Remove | Change::AwaitRemoval);
        self.owners.get(owner).is_some_and(|script| script.iter().any(ends_it))
    }

    /// Whether the callback of that section removes the notifier.
    pub(super) fn removes_in_callback(&self, section: usize) -> bool {
        section == 0 && self.owners.iter().any(|script| script.contains(&Change::AwaitRemoval))
    }

    /// Whether the notifier is removed.
    pub(super) fn has_remove(&self) -> bool {
        (0..self.owners.len()).any(|owner| self.awaits_removal(owner))
    }
}

const fn cast(
    name: &'static str,
    tree: Pages,
    sections: &'static [Pages],
    fillers: &'static [Pages],
    owners: &'static [&'static [Change]],
    state_floor: usize,
) -> Cast {
    Cast { name, tree, sections, fillers, owners, state_floor }
}

use Change::{AwaitRemoval, Grow, Insert, Remove, Shrink};

const NONE: Pages = Pages::NONE;
const FIRST: Pages = Pages::FIRST;
const SECOND: Pages = Pages::SECOND;
const BOTH: Pages = Pages::BOTH;

const WHOLE_LIFE: &[Change] = &[Insert(FIRST), Grow(BOTH), Shrink(FIRST), Remove];

/// The notifier stays as it is.
pub(super) const STAYS: &[Cast] = &[
    cast("two sections, two fillers of one page", BOTH, &[BOTH, FIRST], &[FIRST, FIRST], &[], 161_447),
    cast("two sections, a filler on each page", BOTH, &[BOTH, BOTH], &[FIRST, SECOND], &[], 174_125),
    cast("two sections, a filler of both pages", BOTH, &[BOTH, SECOND], &[BOTH, FIRST], &[], 146_618),
];

/// It appears, or gets more.
pub(super) const GROWS: &[Cast] = &[
    cast("insert", NONE, &[BOTH, FIRST], &[FIRST, SECOND], &[&[Insert(BOTH)]], 168_252),
    cast("insert, then grow", NONE, &[BOTH, SECOND], &[FIRST, BOTH], &[&[Insert(FIRST), Grow(BOTH)]], 241_963),
    cast("grow to the right", FIRST, &[BOTH, SECOND], &[FIRST, SECOND], &[&[Grow(BOTH)]], 202_089),
    cast("grow to the left", SECOND, &[BOTH, FIRST], &[FIRST, BOTH], &[&[Grow(BOTH)]], 251_300),
];

/// It gets less.
pub(super) const SHRINKS: &[Cast] = &[
    cast("shrink", BOTH, &[BOTH, SECOND], &[SECOND, SECOND], &[&[Shrink(FIRST)]], 903_897),
    cast("move", FIRST, &[BOTH, BOTH], &[FIRST, SECOND], &[&[Shrink(SECOND)]], 738_757),
    cast("there and back", FIRST, &[BOTH, FIRST], &[BOTH], &[&[Grow(BOTH), Shrink(SECOND), Shrink(FIRST)]], 108_306),
    cast("grow against shrink", FIRST, &[BOTH, SECOND], &[SECOND], &[&[Grow(BOTH)], &[Shrink(FIRST)]], 68_235),
];

/// It goes.
pub(super) const GOES: &[Cast] = &[
    cast("remove", BOTH, &[BOTH, FIRST], &[FIRST, SECOND], &[&[Remove]], 995_194),
    cast("remove in a callback", BOTH, &[BOTH, FIRST], &[FIRST, SECOND], &[&[AwaitRemoval]], 405_468),
    cast("shrink, then remove", BOTH, &[BOTH, SECOND], &[SECOND], &[&[Shrink(FIRST), Remove]], 106_516),
    cast("a whole life", NONE, &[BOTH, SECOND], &[SECOND], &[WHOLE_LIFE], 128_891),
];

/// More of the same, for optimised builds.
pub(super) const LARGE: &[Cast] = &[
    cast("shrink, a filler on each page", BOTH, &[BOTH, SECOND], &[FIRST, SECOND], &[&[Shrink(FIRST)]], 828_222),
    cast(
        "grow against shrink, two fillers",
        FIRST,
        &[BOTH, SECOND],
        &[FIRST, SECOND],
        &[&[Grow(BOTH)], &[Shrink(FIRST)]],
        1_587_323,
    ),
    cast("a whole life, two fillers", NONE, &[BOTH, SECOND], &[FIRST, SECOND], &[WHOLE_LIFE], 3_066_417),
];
