//! The pseudo-code of the contract, section 5, as lists of atomic steps.
//!
//! A list is the right order. Which step is skipped when is said by [`Actor::applies`](super::actor::Actor::applies):
//! what stands between `LoadTree` and the first `ChangeSource` is done only if the notifier was found, `LeaveDead` and
//! `WakeFromDead` only if it was dead, what stands between them and `ChangeSource` only if it was alive.

use std::mem::discriminant;

use super::casts::Change;
use super::world::{Pages, SLOT_COUNT};

/// One atomic step of one actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Takes the user's lock.
    Lock,
    /// Gives the user's lock back.
    Unlock,

    /// A section enters the table of sections.
    PublishSection(Pages),
    /// A section takes its snapshot of the published tree.
    LoadTree(Pages),
    /// `running += 1`
    Enter,
    /// Reads the dead flag.
    CheckDead,
    /// `running -= 1` where the notifier was dead.
    LeaveDead,
    /// Wakes a remover after that.
    WakeFromDead,
    /// `generation += 1`, by a section before the callback, or by a shrinking owner.
    Raise,
    /// The body of the callback: tears down the mirror of what was found, inside the range.
    Callback(Pages),
    /// `running -= 1` after the callback.
    Leave,
    /// Wakes a remover after that.
    WakeRemover,
    /// The mutator changes one page; the first such step comes after `invalidate` returned.
    ChangeSource(usize),
    /// The end: frees the slot.
    FreeSection,
    /// Wakes those who wait for this section.
    WakeFillers,

    /// `s = generation`
    ReadGeneration,
    /// Looks in the tree whether the notifier is there and covers the range.
    CheckCoverage(Pages),
    /// Uses the bounds that are known, if they were noted in the generation that was read, instead of looking.
    Recall(Pages),
    /// The same, in whichever generation they were noted.
    RecallAny(Pages),
    /// Notes the bounds that were looked at, with the generation that was read.
    Note,
    /// Looks at one slot of the table.
    Scan(usize, Pages),
    /// Waits for those sections that the scan saw.
    AwaitSections,
    /// Reads one page of the source.
    ReadSource(usize),
    /// First half of `read_retry`: `generation != s`
    CompareGeneration,
    /// Second half of `read_retry`: `or dead`
    CompareDead,
    /// Makes one mirror entry.
    Fill(usize),

    /// Who changes the notifier takes the mirror's entries of these pages away.
    TearDown(Pages),
    /// Publishes a tree in which the notifier has these bounds.
    PublishTree(Pages),
    /// `dead = 1`
    Kill,
    /// Gets the handle of a removal that a callback has begun.
    ReceiveRemoval,
    /// Waits until no walker is in the notifier.
    AwaitCallbacks,
}

impl Step {
    /// Whether a section that is about to do this is in the callback.
    pub(super) fn is_in_callback(self) -> bool {
        use Step::*;
        matches!(self, Lock | Callback(_) | TearDown(_) | PublishTree(_) | Kill | AwaitCallbacks | Unlock)
    }
}

/// An actor's steps in order.
pub(super) type Program = Vec<Step>;

/// `invalidate`, the changes that it announces, and the end.
pub(super) fn section(range: Pages) -> Program {
    use Step::*;
    let mut steps = vec![PublishSection(range), LoadTree(range)];
    steps.extend([Enter, CheckDead, LeaveDead, WakeFromDead]);
    steps.extend([Raise, Lock, Callback(range), Unlock, Leave, WakeRemover]);
    steps.extend(range.each().map(ChangeSource));
    steps.extend([FreeSection, WakeFillers]);
    steps
}

/// The same with a callback that removes the notifier from the inside: `remove_deferred` never waits.
pub(super) fn removing_section(range: Pages) -> Program {
    use Step::*;
    let removal = [TearDown(Pages::BOTH), PublishTree(Pages::NONE), Kill];
    let body = |step| if matches!(step, Callback(_)) { removal.to_vec() } else { vec![step] };
    section(range).into_iter().flat_map(body).collect()
}

/// `read_begin`, reading the source, and under the lock `read_retry` and the fill.
pub(super) fn filler(range: Pages) -> Program {
    use Step::*;
    let mut steps = vec![ReadGeneration, CheckCoverage(range)];
    steps.extend((0..SLOT_COUNT).map(|slot| Scan(slot, range)));
    steps.push(AwaitSections);
    steps.extend(range.each().map(ReadSource));
    steps.extend([Lock, CompareGeneration, CompareDead]);
    steps.extend(range.each().map(Fill));
    steps.push(Unlock);
    steps
}

/// The changes of a script, one after another.
pub(super) fn owner(script: &[Change]) -> Program {
    script.iter().flat_map(|change| change_steps(*change)).collect()
}

fn change_steps(change: Change) -> Program {
    use Step::*;
    match change {
        Change::Insert(bounds) | Change::Grow(bounds) => vec![PublishTree(bounds)],
        Change::Shrink(bounds) => vec![Lock, TearDown(!bounds), PublishTree(bounds), Raise, Unlock],
        Change::Remove => {
            vec![Lock, TearDown(Pages::BOTH), PublishTree(Pages::NONE), Kill, Unlock, AwaitCallbacks]
        }
        Change::AwaitRemoval => vec![ReceiveRemoval, AwaitCallbacks],
    }
}

/// A deviation from the right program. Steps are matched by kind, whatever page or range they are about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    /// The steps of this kind are left out.
    Drop(Step),
    /// The first step of the first kind is done just before the first of the second kind.
    Before(Step, Step),
    /// The first step of the first kind is done just after the last of the second kind.
    After(Step, Step),
    /// The first step given is done in addition, just before the first of the second kind.
    Add(Step, Step),
}

impl Edit {
    /// Changes a program, which must hold the steps named, and says whether it does.
    pub(super) fn apply(self, program: &mut Program) -> bool {
        let before = program.clone();
        match self {
            Edit::Drop(step) => program.retain(|other| !is_like(step, other)),
            Edit::Before(step, anchor) => take(program, step).into_iter().for_each(|taken| {
                let at = program.iter().position(|other| is_like(anchor, other));
                program.insert(at.unwrap_or(0), taken);
            }),
            Edit::After(step, anchor) => take(program, step).into_iter().for_each(|taken| {
                let at = program.iter().rposition(|other| is_like(anchor, other));
                program.insert(at.map_or(0, |at| at + 1), taken);
            }),
            Edit::Add(step, anchor) => {
                let at = program.iter().position(|other| is_like(anchor, other));
                at.into_iter().for_each(|at| program.insert(at, step));
            }
        }
        *program != before
    }
}

fn is_like(step: Step, other: &Step) -> bool {
    discriminant(&step) == discriminant(other)
}

fn take(program: &mut Program, step: Step) -> Option<Step> {
    let at = program.iter().position(|other| is_like(step, other))?;
    Some(program.remove(at))
}
