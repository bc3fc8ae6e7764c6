//! What may change while an index runs, and is read on slow paths only: an `ArcSwap` each, which is read often and swapped
//! hardly ever.

use std::collections::BTreeMap;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::config::{Config, RefusalHook};
use crate::notifier::Invalidating;
use crate::sync::{Number, Ordering, PlainArc as Arc};

/// Names of owners, by their numbers.
type Names = BTreeMap<u64, Arc<str>>;

/// See the module's page.
pub(crate) struct Settings {
    retired_limit: Number,
    refusal_hook: ArcSwapOption<RefusalHook>,
    names: ArcSwap<Names>,
}

impl Settings {
    pub(crate) fn of(config: &Config) -> Self {
        Settings {
            retired_limit: Number::new(config.retired_limit_bytes()),
            refusal_hook: ArcSwapOption::new(config.take_refusal_hook().map(Arc::new)),
            names: ArcSwap::default(),
        }
    }

    /// Bytes that may be retired.
    pub(crate) fn retired_limit(&self, node_bytes: impl FnOnce() -> u64) -> u64 {
        // [O14] Relaxed: a limit that need not be exact.
        match self.retired_limit.load(Ordering::Relaxed) {
            Config::BY_THE_TREE => Config::least_retired_limit().max(node_bytes().saturating_mul(4)),
            bytes => bytes,
        }
    }

    pub(crate) fn set_retired_limit(&self, bytes: u64) {
        // [O14] Relaxed, as above.
        self.retired_limit.store(bytes.min(Config::BY_THE_TREE - 1), Ordering::Relaxed);
    }

    pub(crate) fn set_refusal_hook(&self, hook: Option<RefusalHook>) {
        self.refusal_hook.store(hook.map(Arc::new));
    }

    pub(crate) fn report_refusal(&self, invalidating: &Invalidating<'_>) {
        if let Some(hook) = &*self.refusal_hook.load() {
            hook(invalidating);
        }
    }

    pub(crate) fn name_owner(&self, owner: u64, name: &str) {
        let name: Arc<str> = Arc::from(name);
        self.names.rcu(|names| {
            let mut names = Names::clone(names);
            names.insert(owner, Arc::clone(&name));
            names
        });
    }

    pub(crate) fn name_of(&self, owner: u64) -> Option<Arc<str>> {
        self.names.load().get(&owner).cloned()
    }
}
