//! The four mixes: who does what how often, on how much.

use std::time::Duration;

use notifier_index::Config;

use super::listed::listed;
use crate::cli::MixName;

listed! {
    /// Something that a thread does, in one go.
    Deed {
        /// At the barrier between two rounds.
        Rest = "rest",
        /// A thousand finds through the reader.
        ReaderFinds = "reader finds",
        GuardFinds = "guard finds",
        SnapshotFinds = "snapshot finds",
        ManyFinds = "many finds",
        /// Some query, logged.
        Ask = "ask",
        Insert = "insert",
        FindOrInsert = "find or insert",
        InsertMany = "insert many",
        Update = "update",
        Remove = "remove",
        Batch = "batch",
        Split = "split",
        Merge = "merge",
        DropBatch = "drop batch",
        Drop = "drop",
        Section = "section",
        Fill = "fill",
        Hold = "hold",
        Park = "park",
        LongPin = "long pin",
        Barrier = "barrier",
        Maintain = "maintain",
        LateOwner = "late owner",
        Overflow = "overflow",
        PageMutate = "page mutate",
        PageFill = "page fill",
        PageComeOrGo = "page come or go",
        PageUpdate = "page update",
        Pause = "pause",
        /// Waiting for the callbacks of a removed notifier.
        RemoveWait = "remove wait",
    }
}

/// What a thread does, with weights.
pub(crate) type Role = &'static [(Deed, u32)];

/// A mix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Roles, dealt to the threads in turns.
    pub(crate) roles: &'static [Role],
    /// Places for registrations.
    pub(crate) slot_count: usize,
    /// One find in so many of the quick loops is logged.
    pub(crate) stride: u64,
    /// Bytes that may be retired.
    pub(crate) retired_limit: u64,
    /// Time between two changes of a thread that is not to change all the time.
    pub(crate) pause: Duration,
    /// Whether callbacks panic and the index is closed, dropped early and so on.
    pub(crate) is_hostile: bool,
}

const LOOKER: Role = &[
    (Deed::ReaderFinds, 80),
    (Deed::GuardFinds, 12),
    (Deed::SnapshotFinds, 2),
    (Deed::ManyFinds, 8),
    (Deed::Ask, 1),
    (Deed::Park, 1),
    (Deed::Hold, 1),
];

const OCCASIONAL: Role = &[
    (Deed::Insert, 8),
    (Deed::Update, 12),
    (Deed::Remove, 8),
    (Deed::Split, 2),
    (Deed::Merge, 2),
    (Deed::Batch, 2),
    (Deed::Section, 4),
    (Deed::Hold, 4),
    (Deed::Ask, 2),
    (Deed::Fill, 2),
    (Deed::Maintain, 1),
    (Deed::LateOwner, 1),
    (Deed::Pause, 6),
];

const CHANGER: Role = &[
    (Deed::Insert, 30),
    (Deed::FindOrInsert, 16),
    (Deed::InsertMany, 2),
    (Deed::Update, 60),
    (Deed::Remove, 20),
    (Deed::Batch, 16),
    (Deed::Split, 12),
    (Deed::Merge, 12),
    (Deed::Drop, 4),
    (Deed::DropBatch, 4),
    (Deed::Ask, 6),
    (Deed::Hold, 6),
    (Deed::Park, 1),
    (Deed::LateOwner, 1),
    (Deed::Section, 1),
];

const WATCHER: Role = &[
    (Deed::ReaderFinds, 6),
    (Deed::GuardFinds, 6),
    (Deed::SnapshotFinds, 4),
    (Deed::ManyFinds, 4),
    (Deed::Ask, 60),
    (Deed::Hold, 4),
    (Deed::Park, 2),
    (Deed::Maintain, 1),
];

const MUTATOR: Role = &[(Deed::PageMutate, 40), (Deed::Section, 2), (Deed::Ask, 1)];

const FILLER: Role = &[
    (Deed::PageFill, 60),
    (Deed::Fill, 3),
    (Deed::Ask, 2),
    (Deed::Hold, 2),
    (Deed::ReaderFinds, 1),
    (Deed::GuardFinds, 1),
];

const MOVER: Role = &[(Deed::PageUpdate, 16), (Deed::PageComeOrGo, 8), (Deed::Update, 1)];

const TELLER: Role = &[
    (Deed::Section, 60),
    (Deed::Insert, 24),
    (Deed::Remove, 24),
    (Deed::Update, 20),
    (Deed::Fill, 16),
    (Deed::Drop, 1),
    (Deed::Batch, 4),
    (Deed::Barrier, 4),
    (Deed::Overflow, 1),
    (Deed::Ask, 12),
    (Deed::SnapshotFinds, 1),
    (Deed::Hold, 4),
    (Deed::Park, 2),
];

const TYRANT: Role = &[
    (Deed::LongPin, 2),
    (Deed::Park, 20),
    (Deed::Hold, 40),
    (Deed::Ask, 20),
    (Deed::LateOwner, 2),
    (Deed::Overflow, 1),
    (Deed::Barrier, 1),
    (Deed::Maintain, 2),
    (Deed::GuardFinds, 2),
];

static LOOKUPS: Plan = Plan {
    roles: &[LOOKER, LOOKER, LOOKER, OCCASIONAL, LOOKER, LOOKER, LOOKER, OCCASIONAL],
    slot_count: 16384,
    stride: 64,
    retired_limit: 256 << 20,
    pause: Duration::from_micros(400),
    is_hostile: false,
};

static CHANGES: Plan = Plan {
    roles: &[CHANGER, CHANGER, WATCHER, CHANGER],
    slot_count: 1024,
    stride: 4,
    retired_limit: 256 << 20,
    pause: Duration::from_micros(50),
    is_hostile: false,
};

static SECTIONS: Plan = Plan {
    roles: &[MUTATOR, FILLER, MOVER, TELLER, FILLER, MUTATOR, MOVER, TELLER],
    slot_count: 192,
    stride: 4,
    retired_limit: 256 << 20,
    pause: Duration::from_micros(50),
    is_hostile: false,
};

static HOSTILE: Plan = Plan {
    roles: &[CHANGER, TYRANT, TELLER, FILLER, CHANGER, MUTATOR, TYRANT, MOVER],
    slot_count: 256,
    stride: 4,
    retired_limit: 2 << 20,
    pause: Duration::from_micros(50),
    is_hostile: true,
};

impl Plan {
    /// The plan of a mix.
    pub(crate) fn of(name: MixName) -> &'static Plan {
        match name {
            MixName::Lookups | MixName::All => &LOOKUPS,
            MixName::Changes => &CHANGES,
            MixName::Sections => &SECTIONS,
            MixName::Hostile => &HOSTILE,
        }
    }

    /// The role of a thread.
    pub(crate) fn role(&self, thread: usize) -> Role {
        self.roles[thread % self.roles.len()]
    }

    pub(crate) fn config(&self) -> Config {
        Config::new().retired_limit(self.retired_limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_something_to_do() {
        for name in [MixName::Lookups, MixName::Changes, MixName::Sections, MixName::Hostile] {
            let plan = Plan::of(name);
            assert!((0..64).all(|thread| plan.role(thread).iter().any(|(_, weight)| *weight > 0)));
        }
    }
}
