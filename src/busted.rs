//! Sabotages, for checks that must be able to fail: only under `--cfg busted`, chosen by name at run time.

#[cfg(busted)]
use std::fmt;

use crate::sync::Ordering;

/// What can be broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Retired memory is reused at once, whoever still looks at it. Must fail: `stress jemalloc --break early-free`.
    EarlyFree,
    /// A reader stays with the version that it has. Must fail: the tests of `agree`.
    StaleReader,
    /// The tree is loaded before the section is published (R1). Must fail: `stress jemalloc --break section-after-load`.
    SectionAfterLoad,
    /// The generation is read after the sections were scanned (R2). Must fail: the torture of pages.
    GenerationAfterScan,
    /// `read_begin` does not ask whether the tree covers the range (R3). Must fail: the torture of pages.
    NoCoverage,
    /// Coverage is looked up after the sections were scanned (R3). Must fail: `loom`, `growth_in_a_section`.
    CoverageAfterScan,
    /// An update does not raise the generation (R5). Must fail: the torture of pages.
    NoRaise,
    /// The end of a section rings for nobody. Must fail: the torture of pages, by its deadline.
    LostWake,
    /// `read_retry` always says that nothing happened. Must fail: `stress jemalloc --break skip-retry`.
    SkipRetry,
    /// `current` moves without publishing the version. Must fail: `loom`, `publication_is_visible`.
    RelaxedPublish,
    /// A mark is made only once the version has been loaded. Must fail: `loom`, `mark_against_reclaim`.
    LateMark,
    /// A reclaimer reads no marks. Must fail: `loom`, `mark_against_reclaim`; the tests of `scale`.
    BlindScan,
    /// A mark is cleared without publishing what was read. Must fail: `loom`, `marks_are_left_last`.
    LooseLeave,
    /// An object is freed as if no version had held it. Must fail: `loom`, `reuse_waits_for_all_owners`.
    EarlyDeath,
    /// A notifier is marked as dead without publishing the version without it. Must fail: `loom`, `dead_is_not_found`.
    LooseDead,
    /// What a bench leaves is not published. Must fail: `loom`, `strays_are_taken_over`.
    LooseStrays,
    /// Nobody announces that it keeps losing. Must fail: `big_changes_are_not_starved`.
    NoCourtesy,
    /// A writer that has lost the race believes that it has won. Must fail: `loom`, `two_writers_lose_nothing`.
    LostUpdate,
    /// `remove` does not wait for callbacks. Must fail: `loom`, `removal_waits_for_its_callback`.
    NoWait,
    /// A removed notifier is not marked as dead. Must fail: `loom`, `deferred_removal_silences`.
    NoMark,
    /// A closed index takes new notifiers. Must fail: `loom`, `close_tells_all`.
    ClosedInsert,
    /// A `Held` does not count. Must fail: `loom`, `handles_outlive_the_index`.
    UncountedHold,
    /// Whoever claims a notifier gets it. Must fail: `loom`, `claim_against_claim`.
    ClaimForAll,
    /// `barrier` does not wait for callbacks. Must fail: `loom`, `barrier_waits_for_callbacks`.
    NoBarrier,
    /// Bounds are noted in no particular order. Must fail: `loom`, `known_bounds_are_whole`.
    TornBounds,
    /// An overflowing section is not counted. Must fail: `loom`, `ticket_against_an_overflow`.
    UncountedSection,
    /// Slabs are counted before the slots in them are gathered. Must fail: `loom`, `slabs_are_listed_whole`.
    SlabsFirst,
    /// Who waits at a gauge pushes its phase by two instead of three. Must fail: `loom`, `gauge_waits_for_sections`.
    ShortWait,
    /// The last who shares a slot does not acquire what the others read. Must fail: `loom`, `marks_are_left_last`.
    LooseLastShare,
    /// A grace period has passed as soon as it is asked for. Must fail: `loom`, `grace_is_seen_by_all`.
    HastyGrace,
    /// The end of a section's callbacks rings for nobody. Must fail: `loom`, `walks_are_waited_for`.
    QuietWalk,
    /// A child of `fork` does not know that it is one. Must fail: `a_child_of_fork_is_refused_not_hung`.
    IgnoreFork,
    /// A right half is taken for a split of other bounds. Must fail: `loom`, `carve_against_an_update`.
    StaleHalf,
}

/// All of them, by name.
#[cfg(busted)]
const NAMES: [(&str, Sabotage); 33] = [
    ("early_free", Sabotage::EarlyFree),
    ("stale_reader", Sabotage::StaleReader),
    ("section_after_load", Sabotage::SectionAfterLoad),
    ("generation_after_scan", Sabotage::GenerationAfterScan),
    ("no_coverage", Sabotage::NoCoverage),
    ("coverage_after_scan", Sabotage::CoverageAfterScan),
    ("no_raise", Sabotage::NoRaise),
    ("lost_wake", Sabotage::LostWake),
    ("skip_retry", Sabotage::SkipRetry),
    ("relaxed_publish", Sabotage::RelaxedPublish),
    ("late_mark", Sabotage::LateMark),
    ("blind_scan", Sabotage::BlindScan),
    ("loose_leave", Sabotage::LooseLeave),
    ("early_death", Sabotage::EarlyDeath),
    ("loose_dead", Sabotage::LooseDead),
    ("loose_strays", Sabotage::LooseStrays),
    ("no_courtesy", Sabotage::NoCourtesy),
    ("lost_update", Sabotage::LostUpdate),
    ("no_wait", Sabotage::NoWait),
    ("no_mark", Sabotage::NoMark),
    ("closed_insert", Sabotage::ClosedInsert),
    ("uncounted_hold", Sabotage::UncountedHold),
    ("claim_for_all", Sabotage::ClaimForAll),
    ("no_barrier", Sabotage::NoBarrier),
    ("torn_bounds", Sabotage::TornBounds),
    ("uncounted_section", Sabotage::UncountedSection),
    ("slabs_first", Sabotage::SlabsFirst),
    ("short_wait", Sabotage::ShortWait),
    ("loose_last_share", Sabotage::LooseLastShare),
    ("hasty_grace", Sabotage::HastyGrace),
    ("quiet_walk", Sabotage::QuietWalk),
    ("ignore_fork", Sabotage::IgnoreFork),
    ("stale_half", Sabotage::StaleHalf),
];

/// Whether this sabotage was switched on.
#[inline(always)]
pub(crate) fn is(sabotage: Sabotage) -> bool {
    cfg!(busted) && switch::is(sabotage)
}

/// The ordering, or none if this sabotage was switched on.
#[inline(always)]
pub(crate) fn weaker(sabotage: Sabotage, ordering: Ordering) -> Ordering {
    if is(sabotage) { Ordering::Relaxed } else { ordering }
}

/// There is no sabotage of this name.
#[cfg(busted)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownSabotage;

#[cfg(busted)]
impl fmt::Display for UnknownSabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such sabotage; known are")?;
        NAMES.iter().try_for_each(|(name, _)| write!(f, " {name}"))
    }
}

#[cfg(busted)]
impl std::error::Error for UnknownSabotage {}

#[cfg(busted)]
pub use switch::set;

mod switch {
    use super::Sabotage;
    use crate::sync::{Number, Ordering};

    static ACTIVE: Number = Number::new(0);

    /// Switches a sabotage on, for the rest of the process.
    ///
    /// # Errors
    /// [`UnknownSabotage`](super::UnknownSabotage), which lists the names.
    #[cfg(busted)]
    pub fn set(name: &str) -> Result<(), super::UnknownSabotage> {
        let known = super::NAMES.iter().find(|(known, _)| *known == name);
        let (_, sabotage) = *known.ok_or(super::UnknownSabotage)?;
        // [O16] Relaxed: set before the threads that look are started.
        ACTIVE.fetch_or(1 << sabotage as u64, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn is(sabotage: Sabotage) -> bool {
        // [O16] Relaxed: set before the threads that look are started.
        ACTIVE.load(Ordering::Relaxed) & (1 << sabotage as u64) != 0
    }
}
