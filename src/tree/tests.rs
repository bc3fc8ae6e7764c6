//! Tests of the tree: against a naive model, over every small tree, and of every invariant that `check` names.

mod backward;
mod bulk;
#[cfg(target_arch = "x86_64")]
mod detected;
mod kernels;
mod model;
mod queries;
mod random;
mod small;
mod store;
mod violations;
mod world;

/// Counts the nodes that searches of this thread visit, for each height.
pub(crate) mod visits {
    use std::cell::Cell;

    pub(crate) type Visits = [u64; 64];

    thread_local! {
        static VISITED: Cell<Visits> = const { Cell::new([0; 64]) };
    }

    pub(in super::super) fn count(height: u8) {
        let mut visited = VISITED.get();
        visited[usize::from(height) % 64] += 1;
        VISITED.set(visited);
    }

    /// The number of nodes of each height that `search` visits, and its result.
    pub(crate) fn of<T>(search: impl FnOnce() -> T) -> (Visits, T) {
        VISITED.set([0; 64]);
        let result = search();
        (VISITED.get(), result)
    }
}
