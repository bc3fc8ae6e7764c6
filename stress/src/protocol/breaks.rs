//! What happens without a rule: deviations from the right programs, and the promise that each breaks.
//!
//! Each comes with a cast that is as small as can be. [`FREE`] holds those that break nothing: orders that the contract
//! fixes, or could be thought to fix, and that an implementation may choose.

use super::actor::Role;
use super::casts::Cast;
use super::casts::Change::{AwaitRemoval, Grow, Insert, Remove, Shrink};
use super::model::{NO_DEADLOCK, NO_LATE_CALLBACK, NO_STALE_ENTRY};
use super::programs::Edit::{self, Add, After, Before, Drop};
use super::programs::Step::{self, *};
use super::world::Pages;

/// Whose programs are edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of the sections.
    Sections,
    /// Those of the fillers.
    Fillers,
    /// Those of the owners.
    Owners,
}

impl Whose {
    /// Whether an actor is one of them.
    pub(super) fn is(self, role: Role) -> bool {
        match role {
            Role::Section(_) => self == Whose::Sections,
            Role::Filler(_) => self == Whose::Fillers,
            Role::Owner(_) => self == Whose::Owners,
        }
    }
}

/// A cast with some of its programs changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deviation {
    /// Who takes part.
    pub(super) cast: Cast,
    /// In whose programs.
    pub(super) whose: Whose,
    /// What is changed in them.
    pub(super) edits: &'static [Edit],
}

const fn sections(cast: Cast, edits: &'static [Edit]) -> Deviation {
    Deviation { cast, whose: Whose::Sections, edits }
}

const fn fillers(cast: Cast, edits: &'static [Edit]) -> Deviation {
    Deviation { cast, whose: Whose::Fillers, edits }
}

const fn owners(cast: Cast, edits: &'static [Edit]) -> Deviation {
    Deviation { cast, whose: Whose::Owners, edits }
}

/// What is done instead of what a rule says, and what comes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    /// What is done instead, in words.
    pub(super) says: &'static str,
    /// The same in steps.
    pub(super) deviation: Deviation,
    /// The claim that is wrong then.
    pub(super) claim: &'static str,
}

const fn stale(says: &'static str, deviation: Deviation) -> Break {
    Break { says, deviation, claim: NO_STALE_ENTRY }
}

const fn late(says: &'static str, deviation: Deviation) -> Break {
    Break { says, deviation, claim: NO_LATE_CALLBACK }
}

const fn stuck(says: &'static str, deviation: Deviation) -> Break {
    Break { says, deviation, claim: NO_DEADLOCK }
}

// One section and one filler on one page, and where needed somebody who changes the notifier.
const STILL: Cast = Cast {
    name: "still",
    tree: Pages::FIRST,
    sections: &[Pages::FIRST],
    fillers: &[Pages::FIRST],
    owners: &[],
    state_floor: 0,
};
const ELSEWHERE: Cast = Cast { sections: &[Pages::SECOND], fillers: &[Pages::SECOND], ..STILL };
const INSERTED: Cast = Cast { tree: Pages::NONE, owners: &[&[Insert(Pages::FIRST)]], ..STILL };
const GROWN: Cast = Cast { owners: &[&[Grow(Pages::BOTH)]], ..STILL };
const GROWN_INTO: Cast = Cast { owners: &[&[Grow(Pages::BOTH)]], ..ELSEWHERE };
const SHRUNK: Cast = Cast { tree: Pages::BOTH, owners: &[&[Shrink(Pages::FIRST)]], ..ELSEWHERE };
const SHRUNK_TWICE_FILLED: Cast = Cast { fillers: &[Pages::SECOND, Pages::SECOND], ..SHRUNK };
const REMOVED: Cast = Cast { owners: &[&[Remove]], ..STILL };
const REMOVED_EMPTY: Cast = Cast { fillers: &[], ..REMOVED };
const REMOVED_INSIDE: Cast = Cast { fillers: &[], owners: &[&[AwaitRemoval]], ..STILL };

// Steps are matched by kind: what these are about does not matter.
const PUBLISH_SECTION: Step = PublishSection(Pages::NONE);
const LOAD_TREE: Step = LoadTree(Pages::NONE);
const CHANGE: Step = ChangeSource(0);
const CHECK_COVERAGE: Step = CheckCoverage(Pages::NONE);
const SCAN: Step = Scan(0, Pages::NONE);
const READ_SOURCE: Step = ReadSource(0);
const TEAR_DOWN: Step = TearDown(Pages::NONE);
const PUBLISH_TREE: Step = PublishTree(Pages::NONE);

const R1: &[Break] = &[stale(
    "the tree is loaded before the section is published",
    sections(INSERTED, &[Before(LOAD_TREE, PUBLISH_SECTION)]),
)];

const R2: &[Break] = &[
    stale("the generation is read after the scan", fillers(STILL, &[After(ReadGeneration, SCAN)])),
    stale(
        "the generation is read before the scan, but after coverage was checked",
        fillers(SHRUNK, &[After(ReadGeneration, CHECK_COVERAGE)]),
    ),
];

const R3: &[Break] = &[
    stale("coverage is not checked", fillers(ELSEWHERE, &[Drop(CHECK_COVERAGE)])),
    stale("coverage is checked after the scan", fillers(GROWN_INTO, &[After(CHECK_COVERAGE, SCAN)])),
    stale(
        "coverage is recalled from another generation",
        fillers(SHRUNK_TWICE_FILLED, &[Add(RecallAny(Pages::SECOND), CHECK_COVERAGE), Add(Note, SCAN)]),
    ),
];

const R4: &[Break] =
    &[stale("growing is a remove and an insert", owners(GROWN, &[Add(PublishTree(Pages::NONE), PUBLISH_TREE)]))];

const R5: &[Break] = &[
    stale("shrinking does not take the lock", owners(SHRUNK, &[Drop(Lock), Drop(Unlock)])),
    stale("the part cut off is not torn down", owners(SHRUNK, &[Drop(TEAR_DOWN)])),
    stale("it is torn down after the publication", owners(SHRUNK, &[After(TEAR_DOWN, PUBLISH_TREE)])),
    stale("it is torn down before the lock is taken", owners(SHRUNK, &[Before(TEAR_DOWN, Lock)])),
    stale("the generation is not raised", owners(SHRUNK, &[Drop(Raise)])),
    stale("the generation is raised before the publication", owners(SHRUNK, &[Before(Raise, PUBLISH_TREE)])),
    stale("the generation is raised after the lock is given back", owners(SHRUNK, &[After(Raise, Unlock)])),
];

const R6: &[Break] = &[
    stuck("it waits with the lock held", owners(REMOVED_EMPTY, &[Before(AwaitCallbacks, Unlock)])),
    stale("the mirror is torn down after remove returned", owners(REMOVED, &[After(TEAR_DOWN, AwaitCallbacks)])),
    stale("removing does not take the lock", owners(REMOVED, &[Drop(Lock), Drop(Unlock)])),
    stale("the mirror is torn down after the publication", owners(REMOVED, &[After(TEAR_DOWN, PUBLISH_TREE)])),
    stale("dead is set before the mirror is torn down", owners(REMOVED, &[Before(Kill, TEAR_DOWN)])),
    stale("dead is set after the lock is given back", owners(REMOVED, &[After(Kill, Unlock)])),
    stale("dead is not set: tickets stay good", owners(REMOVED, &[Drop(Kill)])),
    late("dead is not set: callbacks go on", owners(REMOVED_EMPTY, &[Drop(Kill)])),
    late("dead is set after waiting", owners(REMOVED_EMPTY, &[After(Kill, AwaitCallbacks)])),
    late("it does not wait", owners(REMOVED_EMPTY, &[Drop(AwaitCallbacks)])),
    stuck("a callback waits for its own removal", sections(REMOVED_INSIDE, &[Add(AwaitCallbacks, Leave)])),
];

const INVALIDATE: &[Break] = &[
    late("dead is read before running is raised", sections(REMOVED_EMPTY, &[Before(CheckDead, Enter)])),
    late("dead is not read", sections(REMOVED_EMPTY, &[Drop(CheckDead)])),
    stale("the generation is not raised", sections(STILL, &[Drop(Raise)])),
    stale("the generation is raised after the callback", sections(STILL, &[After(Raise, Unlock)])),
    stale("the callback does not take the lock", sections(STILL, &[Drop(Lock), Drop(Unlock)])),
    stuck("running is lowered, but nobody woken", sections(REMOVED_EMPTY, &[Drop(WakeRemover)])),
    stuck("the remover is woken before running is lowered", sections(REMOVED_EMPTY, &[Before(WakeRemover, Leave)])),
    stuck("a walker that finds it dead wakes nobody", sections(REMOVED_EMPTY, &[Drop(WakeFromDead)])),
];

const END: &[Break] = &[
    stale("the section is freed before the source is changed", sections(STILL, &[Before(FreeSection, CHANGE)])),
    stuck("the section is freed, but nobody woken", sections(STILL, &[Drop(WakeFillers)])),
    stuck("those who wait are woken before it is freed", sections(STILL, &[Before(WakeFillers, FreeSection)])),
];

const FILL: &[Break] = &[
    stale("it does not wait for the sections that it saw", fillers(STILL, &[Drop(AwaitSections)])),
    stale("the source is read before read_begin", fillers(STILL, &[Before(READ_SOURCE, ReadGeneration)])),
    stale("read_retry is asked before the lock is taken", fillers(STILL, &[After(Lock, CompareDead)])),
    stale("read_retry does not compare the generation", fillers(STILL, &[Drop(CompareGeneration)])),
    stale("read_retry does not read dead", fillers(REMOVED, &[Drop(CompareDead)])),
];

/// The rules of the contract, the lines of its pseudo-code, and what to do against each.
pub(super) const BY_RULE: &[(&str, &[Break])] = &[
    ("R1: a section is published before the tree is loaded", R1),
    ("R2: the generation is read before the sections are scanned", R2),
    ("R3: read_begin checks coverage against the tree", R3),
    ("R4: growing is one publication", R4),
    ("R5: shrinking, under the user's lock: tear down, publish, raise the generation", R5),
    ("R6: removing, under the user's lock: tear down, publish, dead = 1; unlock; then wait", R6),
    ("invalidate: enter, read dead, raise, call, leave, wake", INVALIDATE),
    ("end: free the section, wake", END),
    ("fill: begin, read the source, lock, retry or fill, unlock", FILL),
];

/// Fillers use what their handle knows, for as long as the generation in which that was noted lasts.
const RECALL_FIRST: &[Edit] = &[Add(Recall(Pages::FIRST), CHECK_COVERAGE), Add(Note, SCAN)];
const RECALL_SECOND: &[Edit] = &[Add(Recall(Pages::SECOND), CHECK_COVERAGE), Add(Note, SCAN)];
const RECALLED_GROWN: Cast = Cast { fillers: &[Pages::SECOND, Pages::SECOND], ..GROWN_INTO };
const RECALLED_THERE_AND_BACK: Cast = Cast {
    owners: &[&[Grow(Pages::BOTH), Shrink(Pages::FIRST)]],
    fillers: &[Pages::SECOND, Pages::SECOND],
    sections: TWO_SECTIONS,
    ..ELSEWHERE
};
const RECALLED_LIFE: Cast = Cast {
    tree: Pages::NONE,
    owners: &[&[Insert(Pages::FIRST), Remove]],
    fillers: &[Pages::FIRST, Pages::FIRST],
    ..STILL
};

const TWO_SECTIONS: &[Pages] = &[Pages::BOTH, Pages::FIRST];

/// Deviations that break nothing.
pub(super) const FREE: &[(&str, Deviation)] = &[
    ("coverage may be recalled from the same generation: shrink", fillers(SHRUNK_TWICE_FILLED, RECALL_SECOND)),
    ("coverage may be recalled from the same generation: grow", fillers(RECALLED_GROWN, RECALL_SECOND)),
    (
        "coverage may be recalled from the same generation: there and back",
        fillers(RECALLED_THERE_AND_BACK, RECALL_SECOND),
    ),
    ("coverage may be recalled from the same generation: insert, remove", fillers(RECALLED_LIFE, RECALL_FIRST)),
    (
        "remove may set dead before it publishes, once the mirror is torn down",
        owners(Cast { sections: TWO_SECTIONS, ..REMOVED }, &[Before(Kill, PUBLISH_TREE)]),
    ),
    (
        "remove may publish after the lock is given back, once dead is set",
        owners(Cast { sections: TWO_SECTIONS, ..REMOVED }, &[Before(Kill, PUBLISH_TREE), After(PUBLISH_TREE, Unlock)]),
    ),
    (
        "read_retry may read dead before the generation",
        fillers(Cast { sections: TWO_SECTIONS, ..REMOVED }, &[Before(CompareDead, CompareGeneration)]),
    ),
    (
        "a walker may raise the generation before it reads dead",
        sections(Cast { sections: TWO_SECTIONS, ..REMOVED }, &[Before(Raise, CheckDead)]),
    ),
    (
        "a walker may raise the generation before it enters",
        sections(Cast { sections: TWO_SECTIONS, ..REMOVED }, &[Before(Raise, Enter)]),
    ),
    (
        "the generation may be raised by the callback, under the lock",
        sections(Cast { sections: TWO_SECTIONS, ..STILL }, &[Before(Raise, Unlock)]),
    ),
];
