//! Who takes part: each name with its type, and why somebody cannot.

use parking_lot::{Mutex, RwLock};

use super::course::Course;
use super::lane::{Lane, Racer};
use crate::cli::{ContenderName, MixOptions, Shape};
use crate::contender::btreemap::MutexBTreeMap;
use crate::contender::index::{IndexContender, ThroughGuard, ThroughReader, ThroughSnapshot};
use crate::contender::locked::LockedIndex;
use crate::contender::persistent::ArcSwapMap;
use crate::contender::skiplist::SkipList;
use crate::contender::treeindex::SccTreeIndex;

/// A contender that was asked for.
pub(super) struct Entrant {
    pub(super) name: ContenderName,
    /// `None`: it cannot run this workload.
    pub(super) racer: Option<Box<dyn Racer>>,
}

/// Builds and fills everybody who was asked for.
pub(super) fn entrants(options: &MixOptions, course: &Course) -> Vec<Entrant> {
    let entrant = |name| Entrant { name, racer: can_run(name, options.workload).then(|| racer(name, course)) };
    options.contenders().into_iter().map(entrant).collect()
}

/// Why a contender sits out what it cannot run.
pub(super) const NOT_RUN: &str = "it holds disjoint intervals of one owner only";

fn can_run(name: ContenderName, shape: Shape) -> bool {
    shape == Shape::Disjoint || !is_disjoint_only(name)
}

/// Whether the contender is a map of starts, without overlaps and owners.
pub(super) fn is_disjoint_only(name: ContenderName) -> bool {
    use ContenderName::{ArcswapImbl, MutexBtreemap, SccTreeindex, Skiplist};
    matches!(name, MutexBtreemap | ArcswapImbl | Skiplist | SccTreeindex)
}

/// Whether the contender belongs to the locks, against the fastest of which ratios are taken.
pub(super) fn is_lock(name: ContenderName) -> bool {
    use ContenderName::{LockedMutex, LockedRwlock, MutexBtreemap};
    matches!(name, LockedMutex | LockedRwlock | MutexBtreemap)
}

fn racer(name: ContenderName, course: &Course) -> Box<dyn Racer> {
    match name {
        ContenderName::All => unreachable!("`all` has been replaced by the names it stands for"),
        ContenderName::Reader => Box::new(Lane::<IndexContender<ThroughReader>>::new(course)),
        ContenderName::Guard => Box::new(Lane::<IndexContender<ThroughGuard>>::new(course)),
        ContenderName::Snapshot => Box::new(Lane::<IndexContender<ThroughSnapshot>>::new(course)),
        ContenderName::LockedMutex => Box::new(Lane::<LockedIndex<Mutex<_>>>::new(course)),
        ContenderName::LockedRwlock => Box::new(Lane::<LockedIndex<RwLock<_>>>::new(course)),
        ContenderName::MutexBtreemap => Box::new(Lane::<MutexBTreeMap>::new(course)),
        ContenderName::ArcswapImbl => Box::new(Lane::<ArcSwapMap>::new(course)),
        ContenderName::Skiplist => Box::new(Lane::<SkipList>::new(course)),
        ContenderName::SccTreeindex => Box::new(Lane::<SccTreeIndex>::new(course)),
    }
}
