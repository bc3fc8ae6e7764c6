//! Extents in the locked baseline: an interval tree behind one mutex, for the ratio.

use notifier_index::Reason;

use crate::contender::locked::{LockedChange, LockedRegistration, MutexIndex};
use crate::jemalloc::extent_index::{Answer, Cover, EXTENTS, ExtentFinder, ExtentIndex, Leftover, Way};
use crate::span::{Found, NotifierId, Span};

/// The baseline.
#[derive(Debug, Default)]
pub(crate) struct LockedExtents {
    index: MutexIndex,
}

impl ExtentIndex for LockedExtents {
    type Handle = LockedRegistration;
    type Finder<'i> = LockedFinder<'i>;
    type Section<'i> = ();
    const NAME: &'static str = "baseline";
    const WAYS: &'static [Way] = &[Way::Locked];
    const KEEPS_VERSIONS: bool = false;

    fn insert(&self, span: Span, id: NotifierId) -> Option<u64> {
        let (_, version) = self.index.insert(EXTENTS, span, id);
        Some(version)
    }

    fn claim(&self, span: Span) -> Option<(LockedRegistration, NotifierId)> {
        let registration = self.index.registration_of(EXTENTS, span)?;
        let id = registration.found().id;
        Some((registration, id))
    }

    fn release(&self, _: LockedRegistration) {}

    fn remove(&self, handle: LockedRegistration) -> Result<u64, LockedRegistration> {
        Ok(self.index.remove(handle))
    }

    fn split(
        &self,
        mut handle: LockedRegistration,
        left: Span,
        (span, id): (Span, NotifierId),
    ) -> Result<u64, LockedRegistration> {
        let mut changes = [
            LockedChange::Update { registration: &mut handle, span: left },
            LockedChange::Insert { owner: EXTENTS, id, span, made: None },
        ];
        Ok(self.index.batch(&mut changes))
    }

    fn merge(&self, [mut handle, gone]: [LockedRegistration; 2], whole: Span) -> Result<u64, [LockedRegistration; 2]> {
        Ok(self.index.batch(&mut [
            LockedChange::Update { registration: &mut handle, span: whole },
            LockedChange::Remove { registration: gone },
        ]))
    }

    fn begin_section(&self, _span: Span, _reason: Reason) {}

    fn finder(&self) -> LockedFinder<'_> {
        LockedFinder { index: &self.index }
    }

    fn stale_finder(&self) -> Option<LockedFinder<'_>> {
        None
    }

    fn contents(&self) -> (Vec<Found>, u64) {
        let mut contents = Vec::new();
        let version = self.index.find_all(EXTENTS, Span::FULL, &mut contents);
        (contents, version)
    }

    fn retired_bytes(&self) -> Option<u64> {
        None
    }

    fn settle(&self) -> Leftover {
        Leftover::default()
    }
}

/// A finder that takes the lock for each find.
#[derive(Debug)]
pub(crate) struct LockedFinder<'i> {
    index: &'i MutexIndex,
}

impl ExtentFinder for LockedFinder<'_> {
    fn find_each(&mut self, _way: Way, addresses: &[u64], mut tick: impl FnMut(Answer)) {
        for address in addresses {
            let seen = self.index.find(EXTENTS, Span::point(*address));
            tick(Answer { version: seen.version.unwrap_or(0), found: seen.found });
        }
    }

    fn cover(&mut self, _way: Way, range: Span, _inside: u64, cover: &mut Cover) {
        cover.all.clear();
        self.index.find_all(EXTENTS, range, &mut cover.all);
    }

    fn steady(&mut self, _way: Way, _addresses: &[u64], _meanwhile: impl FnOnce()) -> Option<bool> {
        None
    }
}
