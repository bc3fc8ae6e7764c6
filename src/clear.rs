//! Removing all of one owner's notifiers as one version.

use std::ptr::NonNull;

use crate::draft::Draft;
use crate::engine::{Engine, Limit, Step};
use crate::error::Refusal;
use crate::record::{self, Header};

/// Removes every notifier of the owner; how many there were. Nothing is published where there are none.
pub(crate) fn clear(engine: &Engine, owner: u64) -> Result<usize, Refusal> {
    let edit = |draft: &mut Draft<'_>| {
        let all = all_of(draft, owner)?;
        for (record, start) in &all {
            draft.reserve(owner)?;
            // SAFETY: [D2] an entry of the draft's base, which stays protected for as long as the draft exists.
            draft.remove(unsafe { record.as_ref() }, *start);
        }
        Ok(if all.is_empty() { Step::Keep(all) } else { Step::Publish(all) })
    };
    let settle = |all: &Vec<(NonNull<Header>, u64)>| {
        for (record, _) in all {
            // SAFETY: [D2] the base still protects what the change has removed.
            unsafe { record.as_ref() }.activity().mark_removed();
        }
    };
    Ok(engine.change(Limit::Exceeded, edit, settle)?.result.len())
}

fn all_of(draft: &Draft<'_>, owner: u64) -> Result<Vec<(NonNull<Header>, u64)>, Refusal> {
    let tree = draft.tree(owner);
    let mut all = Vec::new();
    all.try_reserve_exact(tree.len() as usize).map_err(|_| Refusal::OutOfMemory)?;
    all.extend(tree.matching(u64::MAX, 0).map(|slot| (record::header_of(slot.entry), slot.start)));
    Ok(all)
}
