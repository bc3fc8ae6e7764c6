//! Panics of foreign code: caught, so that nobody else loses by them, and raised again when all is done.
//!
//! Callbacks, hooks and destructors of payloads are the caller's. One that panics must not keep the others from being told
//! or dropped, and what it throws may have a destructor that panics in its turn. So the first panic is kept and goes on to
//! the caller at the end, and each further one is put away where nothing can come of it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a panic throws.
type Thrown = Box<dyn Any + Send>;

/// The first panic of several calls of foreign code.
#[derive(Default)]
pub(crate) struct FirstPanic(Option<Thrown>);

impl FirstPanic {
    /// Runs foreign code; `None` if it panicked.
    pub(crate) fn catch<T>(&mut self, call: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(result) => Some(result),
            Err(thrown) => {
                self.keep(thrown);
                None
            }
        }
    }

    fn keep(&mut self, thrown: Thrown) {
        match self.0 {
            None => self.0 = Some(thrown),
            Some(_) => put_away(thrown),
        }
    }

    /// Lets the panic go on to the caller, if there was one. Where the thread panics already, a second one would end the
    /// process: the first goes on alone.
    pub(crate) fn resume(mut self) {
        match self.0.take() {
            Some(thrown) if std::thread::panicking() => put_away(thrown),
            Some(thrown) => resume_unwind(thrown),
            None => {}
        }
    }
}

impl Drop for FirstPanic {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(put_away);
    }
}

/// Times that what was thrown is dropped, and what that throws, and so on; what goes on for longer may have no end.
const PATIENCE: usize = 8;

/// Drops what was thrown, and what is thrown by that; forgets what does not come to an end.
fn put_away(mut thrown: Thrown) {
    for _ in 0..PATIENCE {
        match catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
            Ok(()) => return,
            Err(again) => thrown = again,
        }
    }
    std::mem::forget(thrown);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when it is dropped, whatever else goes on.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the drop of what was thrown");
        }
    }

    #[test]
    fn the_first_panic_goes_on_and_the_others_do_no_harm() {
        let mut first = FirstPanic::default();
        assert_eq!(first.catch(|| 7), Some(7));
        assert_eq!(first.catch(|| std::panic::panic_any("first")), None::<()>);
        assert_eq!(first.catch(|| std::panic::panic_any(Bomb)), None::<()>);
        let thrown = catch_unwind(AssertUnwindSafe(|| first.resume())).unwrap_err();
        assert_eq!(thrown.downcast_ref(), Some(&"first"));
    }

    /// Throws another one of itself when it is dropped.
    struct Endless;
    impl Drop for Endless {
        fn drop(&mut self) {
            std::panic::panic_any(Endless);
        }
    }

    #[test]
    fn what_is_thrown_without_end_is_forgotten() {
        let mut first = FirstPanic::default();
        first.catch(|| std::panic::panic_any(Endless));
        drop(first);
    }

    #[test]
    fn a_thread_that_panics_already_is_not_ended_by_a_second_panic() {
        struct Resumes;
        impl Drop for Resumes {
            fn drop(&mut self) {
                let mut second = FirstPanic::default();
                second.catch(|| std::panic::panic_any(Bomb));
                second.resume();
            }
        }
        let thrown = catch_unwind(|| {
            let _resumes = Resumes;
            std::panic::panic_any("first");
        });
        assert_eq!(thrown.unwrap_err().downcast_ref(), Some(&"first"));
    }
}
