//! A bound on an org's queries at once, running or waiting. Who runs is decided in [`turns`](crate::turns).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use trace_contracts::OrgId;

/// Counts the queries of each org. Orgs without queries take no memory.
#[derive(Clone)]
pub(crate) struct OrgLimits {
    bound: usize,
    running: Arc<Mutex<HashMap<OrgId, usize>>>,
}

/// The permit to run one query for an org; gives its place back when dropped.
pub(crate) struct OrgPermit {
    org: OrgId,
    running: Arc<Mutex<HashMap<OrgId, usize>>>,
}

impl OrgLimits {
    pub(crate) fn new(bound: usize) -> Self {
        Self { bound, running: Arc::default() }
    }

    /// A place, if the org has one left.
    pub(crate) fn take(&self, org: OrgId) -> Option<OrgPermit> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(org).or_default();
        if *count >= self.bound {
            return None;
        }
        *count += 1;
        Some(OrgPermit { org, running: Arc::clone(&self.running) })
    }
}

impl Drop for OrgPermit {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.org) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.org);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_org_has_its_own_places() {
        let limits = OrgLimits::new(1);
        let (one, two) = (OrgId::from_db(1), OrgId::from_db(2));
        let held = limits.take(one).unwrap();
        assert!(limits.take(one).is_none());
        assert!(limits.take(two).is_some());
        drop(held);
        assert!(limits.take(one).is_some());
        assert!(limits.running.lock().unwrap().is_empty(), "nothing is kept for idle orgs");
    }
}
