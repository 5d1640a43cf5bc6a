//! Bundles are examined when they are deployed, by the rules that a worker unpacks them by, so that whoever
//! packed a bad one hears of it at once, and with its place in the file.
//!
//! What is examined is the content in the object store. Nothing of it is unpacked to a disk: it is read through
//! once, in pieces, within a time.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use trace_bundle::{BundlePath, Rules, Sink};
use trace_contracts::{
    FieldError, OrgId, Sha256,
    wire::worker::{Blob, Language},
};
use trace_controls::{Protection, stands};

use crate::{
    blobs::{self, Spooled},
    dag::BlobUse,
};

/// Bundles that are examined at the same time, whoever deploys them.
const SLOTS: usize = 2;
/// A deploy waits this long for a slot.
const PATIENCE: Duration = Duration::from_secs(30);
/// All bundles of a deploy are examined within this time.
const EXAMINED_WITHIN: Duration = Duration::from_secs(60);
/// Good bundles that are remembered; past that the memory starts anew.
const REMEMBERED: usize = 10_000;
/// More than anybody fixes before the next try.
const MAX_ERRORS: usize = 100;

/// Where content is.
#[async_trait]
pub trait BlobSource: Send + Sync {
    /// The content of a blob on this machine, and what it hashes to; `None` where there is none.
    ///
    /// # Errors
    /// When the source fails, or has more than the blob's size.
    async fn fetch(&self, org: OrgId, blob: Blob) -> Result<Option<Spooled>, blobs::Error>;
}

/// Why bundles were not examined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many others are.
    #[error("too many bundles are examined at once; try again")]
    Busy,
    /// There are too many, or they are too large.
    #[error(
        "the bundles take longer than {} s to examine; deploy again, which goes on after the last one that was \
         found good, or make them smaller",
        EXAMINED_WITHIN.as_secs()
    )]
    Slow,
    /// Their content.
    #[error(transparent)]
    Blob(#[from] blobs::Error),
    /// What examines them.
    #[error("examining a bundle was broken off: {0}")]
    Crashed(#[from] tokio::task::JoinError),
}

/// Examines bundles, and remembers which were found good.
pub struct Examiner {
    source: Arc<dyn BlobSource>,
    slots: Semaphore,
    good: Mutex<HashSet<Known>>,
}

/// An org's content. Orgs share no verdicts: what one has can't be told from how fast another is answered.
type Known = (OrgId, Sha256, Language);

impl Examiner {
    /// Examines what this source has.
    #[must_use]
    pub fn new(source: Arc<dyn BlobSource>) -> Self {
        Self { source, slots: Semaphore::new(SLOTS), good: Mutex::default() }
    }

    /// What is wrong with the bundles among these blobs, which the org has uploaded, at each of their places.
    ///
    /// # Errors
    /// When they can't all be examined.
    pub async fn examine(
        &self,
        org: OrgId,
        uses: impl Iterator<Item = &BlobUse>,
    ) -> Result<Vec<FieldError>, Error> {
        let until = Instant::now() + EXAMINED_WITHIN;
        let mut verdicts = HashMap::new();
        let mut errors = Vec::new();
        if !stands(Protection::ExaminedBundles) {
            return Ok(errors);
        }
        for (used, language) in uses.filter_map(|used| Some((used, used.content.language()?))) {
            let verdict = match verdicts.entry((used.blob, language)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.verdict(org, used.blob, language, until).await?),
            };
            errors.extend(verdict.as_ref().map(|wrong: &String| used.place.error(wrong)));
            if errors.len() >= MAX_ERRORS {
                break;
            }
        }
        Ok(errors)
    }

    /// What is wrong with one bundle.
    async fn verdict(
        &self,
        org: OrgId,
        blob: Blob,
        language: Language,
        until: Instant,
    ) -> Result<Option<String>, Error> {
        let known = (org, blob.sha256, language);
        if self.good().contains(&known) {
            return Ok(None);
        }
        let rules = Rules::at_deploy();
        if blob.size > rules.packed_bytes {
            return Ok(Some(trace_bundle::Error::Packed(rules.packed_bytes).to_string()));
        }
        let _slot = timeout(PATIENCE, self.slots.acquire()).await.map_err(|_| Error::Busy)?;
        let left = until.saturating_duration_since(Instant::now());
        let fetched = timeout(left, self.source.fetch(org, blob)).await.map_err(|_| Error::Slow)?;
        let spooled = match fetched {
            Ok(Some(spooled)) if spooled.blob() == blob => spooled,
            Ok(None) => return Ok(Some(format!("its content {} is gone: upload it again", blob.sha256))),
            Ok(Some(_)) | Err(blobs::Error::TooLarge) => {
                let sha256 = blob.sha256;
                return Ok(Some(format!("what is stored as {sha256} is something else: upload it again")));
            }
            Err(error) => return Err(error.into()),
        };
        let verdict = spawn_blocking(move || look_through(&spooled, language, &rules, until)).await??;
        if verdict.is_none() {
            self.remember(known);
        }
        Ok(verdict)
    }

    fn remember(&self, known: Known) {
        let mut good = self.good();
        if good.len() >= REMEMBERED {
            good.clear();
        }
        good.insert(known);
    }

    fn good(&self) -> MutexGuard<'_, HashSet<Known>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look_through(
    spooled: &Spooled,
    language: Language,
    rules: &Rules,
    until: Instant,
) -> Result<Option<String>, Error> {
    let archive = spooled.open()?;
    let read = trace_bundle::read(archive, spooled.blob().size, language, rules, &mut Passing { until });
    match read {
        Ok(_) => Ok(None),
        Err(Stopped::Wrong(error)) => Ok(Some(error.to_string())),
        Err(Stopped::Late) => Err(Error::Slow),
    }
}

/// Keeps nothing of what it is given, and stops at a time.
struct Passing {
    until: Instant,
}

enum Stopped {
    Wrong(trace_bundle::Error),
    Late,
}

impl From<trace_bundle::Error> for Stopped {
    fn from(error: trace_bundle::Error) -> Self {
        Self::Wrong(error)
    }
}

impl Sink for Passing {
    type Error = Stopped;

    fn folder(&mut self, _: &BundlePath) -> Result<(), Stopped> {
        Ok(())
    }

    fn file(&mut self, _: &BundlePath) -> Result<(), Stopped> {
        Ok(())
    }

    fn content(&mut self, _: &[u8]) -> Result<(), Stopped> {
        if Instant::now() > self.until { Err(Stopped::Late) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), Stopped> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
