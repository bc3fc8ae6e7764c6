//! What was done and what nearly went wrong, counted; and how old what was found was.
//!
//! A torture test that has run out of work looks like success: so near misses are counted, and a mix in which one that
//! belongs to it never happened has failed.

use serde::{Deserialize, Serialize};

use super::listed::listed;
use crate::cli::MixName;

listed! {
    /// Something that is counted.
    Mark {
        /// Look-ups of all kinds.
        Finds = "finds",
        /// Look-ups that were logged, and so replayed.
        FindsLogged = "finds logged",
        /// Changes logged, parts of batches one by one.
        Changes = "changes",
        /// Rounds that were replayed.
        Rounds = "rounds",
        /// Indexes that were built, tortured and taken down.
        Worlds = "worlds",
        Publications = "publications",
        LostRaces = "lost races",
        Sections = "sections",
        Callbacks = "callbacks",
        BeginWaits = "begin waits",
        Retries = "retries",
        Refusals = "refusals",
        Fills = "fills",
        FillsRetried = "fills retried",
        TornDown = "entries torn down",
        /// A filler was refused because the notifier had moved away.
        NotCovered = "fills not covered",
        BeginTimeouts = "begin timed out",
        SectionRefused = "section refused",
        /// Look-ups that did not see what had returned before they began: faults, each of them.
        PastBound = "finds past the bound",
        OverlapsPublication = "finds beside a publication",
        SeenEarly = "finds before the writer's return",
        RefusedByLimit = "changes refused by the limit",
        RefusedByClose = "refused as closed",
        WouldDeadlock = "would deadlock",
        RemovedInCallback = "removals in callbacks",
        ChangedInCallback = "changes in callbacks",
        RemovedUnderCallback = "callback beside own removal",
        RemoveWaited = "removals that waited",
        HoldOutlived = "holds outliving removal",
        SnapshotParked = "snapshots parked over 1000 versions",
        ReaderParked = "readers parked over 1000 versions",
        LongPin = "pins over 100 versions",
        Overflow = "overflow sections",
        OverflowWait = "waits beside overflow",
        UnversionedRemoval = "removals by drop",
        FoundInstead = "found instead of inserted",
        InsertedInstead = "inserted as nobody was there",
        Splits = "splits",
        Merges = "merges",
        BatchAborted = "batches taken back",
        LateOwner = "owners registered late",
        Barrier = "barriers",
        Maintain = "maintains",
        Panic = "panics of callbacks",
        Closed = "closes",
        IndexDroppedFirst = "indexes dropped before handles",
        ForgottenGuard = "refusals under a forgotten guard",
        SteadySnapshot = "parked snapshots asked again",
    }
}

/// What every mix must have seen at least once.
const IN_EVERY_MIX: &[Mark] = &[
    Mark::Finds,
    Mark::FindsLogged,
    Mark::Changes,
    Mark::Rounds,
    Mark::Worlds,
    Mark::OverlapsPublication,
    Mark::SeenEarly,
    Mark::Callbacks,
    Mark::HoldOutlived,
    Mark::SnapshotParked,
];

/// What the mix of look-ups must have seen, too.
const IN_LOOKUPS: &[Mark] = &[Mark::ReaderParked];

/// What the mix of changes must have seen, too.
const IN_CHANGES: &[Mark] = &[
    Mark::LostRaces,
    Mark::UnversionedRemoval,
    Mark::FoundInstead,
    Mark::InsertedInstead,
    Mark::Splits,
    Mark::Merges,
    Mark::BatchAborted,
    Mark::LateOwner,
    Mark::ReaderParked,
];

/// What the mix of sections must have seen, too.
const IN_SECTIONS: &[Mark] = &[
    Mark::LostRaces,
    Mark::BeginWaits,
    Mark::Retries,
    Mark::Refusals,
    Mark::Fills,
    Mark::FillsRetried,
    Mark::TornDown,
    Mark::NotCovered,
    Mark::BeginTimeouts,
    Mark::SectionRefused,
    Mark::WouldDeadlock,
    Mark::RemovedInCallback,
    Mark::ChangedInCallback,
    Mark::RemovedUnderCallback,
    Mark::RemoveWaited,
    Mark::Overflow,
    Mark::OverflowWait,
    Mark::Barrier,
];

/// What the mix of hostile users must have seen, too.
const IN_HOSTILE: &[Mark] = &[
    Mark::LostRaces,
    Mark::BeginWaits,
    Mark::Fills,
    Mark::RefusedByLimit,
    Mark::RefusedByClose,
    Mark::RemovedUnderCallback,
    Mark::RemoveWaited,
    Mark::LongPin,
    Mark::Overflow,
    Mark::Panic,
    Mark::Closed,
    Mark::IndexDroppedFirst,
    Mark::ForgottenGuard,
    Mark::SteadySnapshot,
    Mark::LateOwner,
    Mark::Maintain,
];

/// What a mix must have seen at least once.
pub(crate) fn demanded(mix: MixName) -> Vec<Mark> {
    let own = match mix {
        MixName::Lookups => IN_LOOKUPS,
        MixName::Changes => IN_CHANGES,
        MixName::Sections => IN_SECTIONS,
        MixName::Hostile => IN_HOSTILE,
        MixName::All => &[],
    };
    IN_EVERY_MIX.iter().chain(own).copied().collect()
}

/// Buckets of ages: the same version, then doubling widths.
pub(crate) const AGE_BUCKETS: usize = 13;

/// Counters of one thread, one round or one mix.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Marks {
    counts: Vec<u64>,
    ages: [u64; AGE_BUCKETS],
}

impl Default for Marks {
    fn default() -> Self {
        Marks { counts: vec![0; Mark::ALL.len()], ages: [0; AGE_BUCKETS] }
    }
}

impl Marks {
    pub(crate) fn add(&mut self, mark: Mark, count: u64) {
        self.counts[mark as usize] += count;
    }

    pub(crate) fn get(&self, mark: Mark) -> u64 {
        self.counts[mark as usize]
    }

    /// Counts a look-up that was so many versions behind the current one when its answer had been read.
    pub(crate) fn add_age(&mut self, versions: u64) {
        let bucket = versions.checked_ilog2().map_or(0, |bits| bits as usize + 1);
        self.ages[bucket.min(AGE_BUCKETS - 1)] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Marks) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        self.ages.iter_mut().zip(other.ages).for_each(|(sum, count)| *sum += count);
    }

    /// The histogram of ages: `0:n 1:n 2-3:n ...`, without what is empty.
    pub(crate) fn ages(&self) -> String {
        let bucket = |(at, count): (usize, &u64)| (*count > 0).then(|| format!("{}:{count}", age_name(at)));
        self.ages.iter().enumerate().filter_map(bucket).collect::<Vec<_>>().join(" ")
    }

    /// What a mix must have seen and has not.
    pub(crate) fn missing(&self, mix: MixName) -> Vec<&'static str> {
        demanded(mix).into_iter().filter(|mark| self.get(*mark) == 0).map(Mark::name).collect()
    }
}

fn age_name(bucket: usize) -> String {
    let (least, most) = (1_u64 << bucket.saturating_sub(1), (1_u64 << bucket) - 1);
    match bucket {
        0 => "0".to_owned(),
        1 => "1".to_owned(),
        _ if bucket == AGE_BUCKETS - 1 => format!("{least}+"),
        _ => format!("{least}-{most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_fall_into_doubling_buckets() {
        let mut marks = Marks::default();
        [0, 1, 2, 3, 4, 7, 8, 5000, 1 << 40].into_iter().for_each(|age| marks.add_age(age));
        assert_eq!(marks.ages(), "0:1 1:1 2-3:2 4-7:2 8-15:1 2048+:2");
    }

    #[test]
    fn a_mix_that_never_saw_its_near_misses_is_told_which() {
        let mut marks = Marks::default();
        assert_eq!(marks.missing(MixName::Hostile).len(), demanded(MixName::Hostile).len());
        demanded(MixName::Hostile).into_iter().skip(1).for_each(|mark| marks.add(mark, 1));
        assert_eq!(marks.missing(MixName::Hostile), ["finds"]);
    }

    #[test]
    fn marks_add_up() {
        let (mut sum, mut other) = (Marks::default(), Marks::default());
        other.add(Mark::Panic, 2);
        other.add_age(1);
        sum.merge(&other);
        sum.merge(&other);
        assert_eq!((sum.get(Mark::Panic), sum.ages().as_str()), (4, "1:2"));
    }
}
