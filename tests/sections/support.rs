//! What the tests share: deadlines, a notifier made of closures, a switch between threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notifier_index::{Event, Interval, Invalidating, Notifier, NotifierIndex, Reason, WouldBlock};

use crate::mailbox::Mailbox;

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for a thread that is not held back to get through.
pub(crate) const MOMENT: Duration = Duration::from_millis(30);

/// Ends the process if the test that holds it does not end in time.
pub(crate) struct Deadline {
    is_over: Arc<Mailbox<()>>,
    watch: Option<JoinHandle<()>>,
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.is_over.post(());
        self.watch.take().into_iter().for_each(|watch| watch.join().expect("it cannot panic"));
    }
}

/// Every test begins with this; under `--cfg busted` the environment may name a sabotage.
pub(crate) fn deadline() -> Deadline {
    deadline_after(Duration::from_secs(60))
}

pub(crate) fn deadline_after(limit: Duration) -> Deadline {
    break_what_is_to_be_broken();
    let name = std::thread::current().name().unwrap_or("a test").to_string();
    let is_over = Arc::new(Mailbox::new(1));
    let told = Arc::clone(&is_over);
    let watch = std::thread::spawn(move || {
        if told.take(limit).is_none() {
            eprintln!("{name}: not over after {limit:?}: something waits for ever");
            std::process::abort();
        }
    });
    Deadline { is_over, watch: Some(watch) }
}

fn break_what_is_to_be_broken() {
    #[cfg(busted)]
    if let Some(name) = busted().filter(|name| !name.starts_with('r')) {
        notifier_index::busted::set(&name).expect("a sabotage that is known");
    }
}

/// The sabotage that the environment names, if there is one.
pub(crate) fn busted() -> Option<String> {
    std::env::var("BUSTED").ok().filter(|_| cfg!(busted))
}

/// Waits until it is so, and fails when it never is.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Closed until it is opened once.
#[derive(Default)]
pub(crate) struct Gate(AtomicBool);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self) {
        until("the gate is open", || self.is_open());
    }
}

pub(crate) fn between(start: u64, last: u64) -> Interval {
    Interval::new(start, last).expect("in order")
}

pub(crate) const UNMAP: Event = Event::new(Reason::Unmap);

/// A section that begins and ends.
pub(crate) fn touch(index: &NotifierIndex, start: u64, last: u64) {
    drop(index.invalidate(between(start, last), UNMAP));
}

type First = Box<dyn Fn(&Invalidating<'_>) -> Result<(), WouldBlock> + Send + Sync>;
type Second = Box<dyn Fn(&Invalidating<'_>) + Send + Sync>;

/// A notifier made of two closures, which counts its calls.
pub(crate) struct Probe {
    first: First,
    second: Second,
    calls: AtomicU64,
    finishes: AtomicU64,
}

impl Probe {
    pub(crate) fn quiet() -> Self {
        Probe::answering(|_| Ok(()))
    }

    pub(crate) fn doing(first: impl Fn(&Invalidating<'_>) + Send + Sync + 'static) -> Self {
        Probe::answering(move |told| {
            first(told);
            Ok(())
        })
    }

    pub(crate) fn answering(
        first: impl Fn(&Invalidating<'_>) -> Result<(), WouldBlock> + Send + Sync + 'static,
    ) -> Self {
        let second: Second = Box::new(|_| ());
        Probe { first: Box::new(first), second, calls: AtomicU64::new(0), finishes: AtomicU64::new(0) }
    }

    pub(crate) fn then(self, second: impl Fn(&Invalidating<'_>) + Send + Sync + 'static) -> Self {
        Probe { second: Box::new(second), ..self }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn finishes(&self) -> u64 {
        self.finishes.load(Ordering::SeqCst)
    }
}

impl Notifier for Probe {
    fn invalidate(&self, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        (self.first)(told)
    }

    fn finish(&self, told: &Invalidating<'_>) {
        self.finishes.fetch_add(1, Ordering::SeqCst);
        (self.second)(told);
    }
}

/// Runs `call`, which must not take as long as `limit`.
pub(crate) fn within<T>(limit: Duration, call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = call();
    let took = begun.elapsed();
    assert!(took < limit, "took {took:?}, at most {limit:?} allowed");
    result
}
