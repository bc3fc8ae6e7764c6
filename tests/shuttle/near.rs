//! How often something nearly went wrong: a scenario in which nothing ever does shows nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;

static COUNTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

/// Counts one near miss.
pub(crate) fn miss(what: &'static str) {
    miss_times(what, 1);
}

pub(crate) fn miss_times(what: &'static str, times: u64) {
    *COUNTS.lock().expect("no holder panics").entry(what).or_default() += times;
}

/// How often that was, since the process began.
pub(crate) fn count(what: &str) -> u64 {
    COUNTS.lock().expect("no holder panics").get(what).copied().unwrap_or(0)
}
