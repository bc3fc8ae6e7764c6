//! Fillers and mutators of two pages: with one notifier that stands, and with notifiers that come, go and move.

use std::sync::atomic::Ordering::SeqCst;

use notifier_index::{BeginError, Held, Interval, Registration};

use super::pages::{Owner, PAGES, World};
use crate::near;
use crate::runner::Scenario;
use crate::support::{between, draw_range, is_broken_by_user, pause, step};

/// Two fillers against two mutators (R2).
pub(crate) const STANDING: Scenario = Scenario {
    name: "mirrors_are_never_stale",
    twins: &["generation_after_scan", "skip_retry", "lost_wake"],
    near_misses: &["collisions", "retries", "fills", "waits"],
    run: stand,
};

/// A filler and a mutator against one who moves, and one who comes and goes (R1, R3, R4, R5, R6).
pub(crate) const MOVING: Scenario = Scenario {
    name: "notifiers_move_under_sections",
    twins: &["section_after_load", "no_coverage", "no_raise", "r4_remove_insert", "r6_teardown_late"],
    near_misses: &["collisions", "retries", "fills", "waits", "refused fills"],
    run: move_about,
};

fn pages() -> Interval {
    draw_range(PAGES as u64)
}

fn stand() {
    let world = World::new();
    let registration = world.insert(between(0, PAGES as u64 - 1));
    shuttle::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..2).for_each(|_| world.mutate(pages())));
            scope.spawn(|| {
                let held = registration.hold();
                (0..2).for_each(|_| world.fill(&held, pages()).unwrap());
            });
        }
    });
    world.check_quiet();
}

/// Fills what the notifier may or may not cover.
fn try_fill(world: &World, held: &Held<Owner>, range: Interval) {
    match world.fill(held, range) {
        Ok(()) => {}
        Err(BeginError::NotCovered | BeginError::Removed) => near::miss("refused fills"),
        Err(error) => panic!("read_begin over {range}: {error}"),
    }
}

fn fill_what_is_found(world: &World) {
    let range = pages();
    let found = world.index.pin().find(&world.ops, range).map(|hit| hit.hold());
    if let Some(held) = found {
        try_fill(world, &held, range);
        try_fill(world, &held, range);
    }
}

/// R5: tears down what is cut off and publishes, under the lock.
fn move_to(world: &World, registration: Registration<Owner>, bounds: Interval) -> Registration<Owner> {
    let mirror = registration.payload().mirror.clone();
    let mut entries = mirror.0.lock().unwrap();
    let outside = (0..PAGES).filter(|page| !bounds.covers(Interval::point(*page as u64)));
    outside.for_each(|page| entries[page] = None);
    if !is_broken_by_user("r4_remove_insert") {
        registration.update(bounds).unwrap();
        return registration;
    }
    drop(registration.remove_deferred().unwrap());
    let owner = Owner { mirror: mirror.clone(), is_gone: false.into() };
    world.index.insert(&world.ops, bounds, owner).unwrap()
}

fn come_and_go(world: &World) {
    let bounds = pages();
    let registration = world.insert(bounds);
    let held = registration.hold();
    try_fill(world, &held, bounds);
    // R6: tears down and removes under the lock, waits after it.
    let mut entries = held.mirror.0.lock().unwrap();
    let is_late = is_broken_by_user("r6_teardown_late");
    if !is_late {
        *entries = Default::default();
    }
    let removal = registration.remove_deferred().unwrap();
    drop(entries);
    removal.wait().unwrap();
    held.is_gone.store(true, SeqCst);
    if is_late {
        step();
        *held.mirror.0.lock().unwrap() = Default::default();
    }
}

fn move_about() {
    let world = World::new();
    let moving = world.insert(pages());
    shuttle::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                pause(64);
                world.mutate(pages());
            }
        });
        scope.spawn(|| (0..2).for_each(|_| fill_what_is_found(&world)));
        scope.spawn(|| come_and_go(&world));
        scope.spawn(|| {
            let mut moving = moving;
            for _ in 0..2 {
                let bounds = pages();
                moving = move_to(&world, moving, bounds);
                try_fill(&world, &moving.hold(), bounds);
            }
            // It stays, so that what it mirrors is looked at in the end.
            std::mem::forget(moving);
        });
    });
    world.check_quiet();
}
