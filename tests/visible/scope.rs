//! Scoped threads that are joined one by one.
//!
//! `std::thread::scope` waits for threads whose handles were dropped by a counter inside the standard library, which
//! comes compiled without instrumentation: ThreadSanitizer does not see that they ended. It sees each `join`.

use std::cell::RefCell;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

type Join<'scope> = Box<dyn FnOnce() -> thread::Result<()> + 'scope>;

pub(crate) struct Scope<'scope, 'env: 'scope> {
    threads: &'scope thread::Scope<'scope, 'env>,
    /// Threads whose handles were dropped.
    unjoined: RefCell<Vec<Join<'scope>>>,
}

/// As `std::thread::scope`.
pub(crate) fn scope<'env, R>(work: impl for<'scope> FnOnce(&Scope<'scope, 'env>) -> R) -> R {
    thread::scope(|threads| {
        let scope = Scope { threads, unjoined: RefCell::default() };
        let result = work(&scope);
        let ends: Vec<_> = scope.unjoined.into_inner().into_iter().map(|join| join()).collect();
        ends.into_iter().for_each(|end| end.unwrap_or_else(|panic| resume_unwind(panic)));
        result
    })
}

impl<'scope, 'env> Scope<'scope, 'env> {
    pub(crate) fn spawn<T: Send + 'scope>(
        &self,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> Handle<'_, 'scope, 'env, T> {
        Handle { scope: self, thread: Some(self.threads.spawn(work)) }
    }
}

pub(crate) struct Handle<'s, 'scope, 'env, T: Send + 'scope> {
    scope: &'s Scope<'scope, 'env>,
    /// Until it is joined.
    thread: Option<ScopedJoinHandle<'scope, T>>,
}

impl<T: Send> Handle<'_, '_, '_, T> {
    pub(crate) fn join(mut self) -> thread::Result<T> {
        self.thread.take().expect("joined once").join()
    }
}

impl<'scope, T: Send + 'scope> Deref for Handle<'_, 'scope, '_, T> {
    type Target = ScopedJoinHandle<'scope, T>;

    fn deref(&self) -> &Self::Target {
        self.thread.as_ref().expect("not joined")
    }
}

impl<'scope, T: Send + 'scope> Drop for Handle<'_, 'scope, '_, T> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.scope.unjoined.borrow_mut().push(Box::new(|| thread.join().map(drop)));
        }
    }
}
