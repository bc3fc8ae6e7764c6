//! A thread of the torture: does the deeds of its role, round by round.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use notifier_index::{Reader, Snapshot};

use super::keeping::{self, IdleReader};
use super::marks::Mark;
use super::mixes::{Deed, Role};
use super::seat::Seat;
use super::{batches, changes, looks, paging, sections};
use crate::cli::TortureSabotage;
use crate::workload::Draws;

/// Where the threads and the judge meet.
pub(crate) struct Meeting {
    pub(crate) barrier: Barrier,
    /// No further round comes.
    pub(crate) is_over: AtomicBool,
}

pub(crate) struct Worker {
    seat: Rc<Seat>,
    role: Role,
    reader: Reader,
    idle: IdleReader,
    /// For the sabotage that looks through it long after it was taken.
    stale: Option<Snapshot>,
    draws: Draws,
}

impl Worker {
    pub(crate) fn new(seat: Rc<Seat>, role: Role, draws: Draws) -> Self {
        let index = &seat.world.index;
        let (reader, idle) = (index.reader(), IdleReader::new(index.reader()));
        Worker { seat, role, reader, idle, stale: None, draws }
    }

    /// Works until the last round is over.
    pub(crate) fn run(mut self, meeting: &Meeting) {
        let _taken = self.seat.take();
        loop {
            self.seat.doing(Deed::Rest);
            meeting.barrier.wait();
            // Relaxed: ordered by the barrier.
            if meeting.is_over.load(Ordering::Relaxed) {
                break;
            }
            self.round();
            self.seat.doing(Deed::Rest);
            meeting.barrier.wait();
        }
        self.seat.leave_handles();
    }

    fn round(&mut self) {
        self.seat.begin_round();
        let is_stale = self.seat.world.sabotage == Some(TortureSabotage::StaleFind);
        self.stale = is_stale.then(|| self.seat.world.index.snapshot());
        while !self.seat.world.is_resting() {
            let deed = self.choose();
            self.seat.doing(deed);
            let done = catch_unwind(AssertUnwindSafe(|| self.act(deed)));
            if let Err(panic) = done {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                self.seat.fault(|| format!("a thread panicked in {}: {text}", deed.name()));
            }
        }
        self.seat.end_round();
    }

    fn choose(&self) -> Deed {
        let total = self.role.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut draw = self.seat.below(total);
        for (deed, weight) in self.role {
            match draw.checked_sub(u64::from(*weight)) {
                None => return *deed,
                Some(rest) => draw = rest,
            }
        }
        Deed::Ask
    }

    fn act(&mut self, deed: Deed) {
        let seat = &*self.seat;
        // Relaxed: whoever sees it closes; only the first does.
        if seat.world.is_close_due.load(Ordering::Relaxed) && !seat.world.is_closing.load(Ordering::Relaxed) {
            sections::close(seat);
        }
        match deed {
            Deed::ReaderFinds => looks::reader_finds(seat, &mut self.reader, &mut self.draws),
            Deed::GuardFinds => looks::guard_finds(seat, &mut self.draws),
            Deed::SnapshotFinds => looks::snapshot_finds(seat, &mut self.draws),
            Deed::ManyFinds => looks::many_finds(seat, &mut self.reader, &mut self.draws),
            Deed::Ask => looks::ask(seat, &mut self.reader, self.stale.as_ref()),
            Deed::Hold => keeping::hold(seat),
            Deed::Park => {
                keeping::park(seat);
                self.idle.wake(seat);
            }
            Deed::LongPin => keeping::long_pin(seat),
            Deed::Maintain => maintain(seat),
            Deed::LateOwner => register_late(seat),
            Deed::Pause => std::thread::sleep(seat.world.plan.pause),
            other => change_or_tell(seat, other),
        }
    }
}

fn change_or_tell(seat: &Seat, deed: Deed) {
    match deed {
        Deed::Insert => changes::insert(seat),
        Deed::FindOrInsert => changes::find_or_insert(seat),
        Deed::InsertMany => changes::insert_many(seat),
        Deed::Update => changes::update(seat),
        Deed::Remove => changes::remove(seat),
        Deed::Drop => changes::drop_registration(seat),
        Deed::Batch => batches::mixed(seat),
        Deed::Split => batches::split(seat),
        Deed::Merge => batches::merge(seat),
        Deed::DropBatch => batches::drop_batch(seat),
        Deed::Section => sections::section(seat),
        Deed::Fill => sections::fill(seat),
        Deed::Barrier => sections::barrier(seat),
        Deed::Overflow => sections::overflow(seat),
        Deed::PageMutate => paging::mutate(seat),
        Deed::PageFill => paging::fill(seat),
        Deed::PageComeOrGo => paging::come_or_go(seat),
        Deed::PageUpdate => paging::update(seat),
        other => seat.fault(|| format!("nobody knows how to {}", other.name())),
    }
}

fn maintain(seat: &Seat) {
    seat.world.index.maintain();
    let stats = seat.world.index.stats();
    seat.expect(stats.version >= stats.oldest_version, || format!("figures disagree: {stats:?}"));
    let dump = seat.world.index.dump().to_string();
    seat.expect(dump.lines().count() > 1, || format!("a dump without notifiers: {dump}"));
    seat.mark(Mark::Maintain);
}

fn register_late(seat: &Seat) {
    // Now and then only: their number is limited, and the first ones are to have a time of their own.
    if seat.one_in(8)
        && let Some(owner) = seat.world.register_owner()
    {
        changes::insert_many_of(seat, owner);
        seat.mark(Mark::LateOwner);
    }
}
