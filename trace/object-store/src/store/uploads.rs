//! Multipart uploads. They are kept in memory and their parts in files without a name that lasts:
//! the root keys are new at every start, so that no upload outlives the process anyway.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use trace_contracts::{AttemptId, ObjectKey};

use super::{
    Attributes, Draft, Error, Result, Store, Whole,
    draft::{Place, random_name},
};

/// The smallest part that is not the last one.
pub(in super::super) const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;

/// Uploads that are open at once, in all and of one attempt.
const MAX_UPLOADS: usize = 1000;
const MAX_UPLOADS_OF_ONE: usize = 100;

/// Names one upload; unguessable.
pub(in super::super) type UploadId = String;

/// An upload that is open.
pub(in super::super) struct Upload {
    pub attributes: Attributes,
    /// Whose upload it is; the platform's without one.
    pub owner: Option<AttemptId>,
    pub initiated: SystemTime,
    parts: BTreeMap<i32, Part>,
}

/// A part lies in a file that is closed: many parts must not use up the process's descriptors.
struct Part {
    place: Place,
    size: u64,
    etag: String,
    modified: SystemTime,
}

/// What is known about a part.
#[derive(Debug, Clone)]
pub(in super::super) struct PartRecord {
    pub number: i32,
    pub size: u64,
    pub etag: String,
    pub modified: SystemTime,
}

/// A part as the one who completes the upload names it.
#[derive(Debug, Clone)]
pub(in super::super) struct Claimed {
    pub number: i32,
    pub etag: String,
}

/// The uploads that are open.
#[derive(Default)]
pub(in super::super) struct Uploads(Mutex<BTreeMap<(ObjectKey, UploadId), Upload>>);

impl Uploads {
    fn open(&self) -> MutexGuard<'_, BTreeMap<(ObjectKey, UploadId), Upload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an upload.
    pub(in super::super) fn create(
        &self,
        key: &ObjectKey,
        attributes: Attributes,
        owner: Option<AttemptId>,
    ) -> Result<UploadId> {
        let mut open = self.open();
        let of_owner = open.values().filter(|upload| owner.is_some() && upload.owner == owner).count();
        if open.len() >= MAX_UPLOADS || of_owner >= MAX_UPLOADS_OF_ONE {
            return Err(Error::TooManyUploads);
        }
        let id = random_name();
        let initiated = SystemTime::now();
        let upload = Upload { attributes, owner, initiated, parts: BTreeMap::new() };
        open.insert((key.clone(), id.clone()), upload);
        Ok(id)
    }

    /// Adds a part, in place of an earlier one of this number.
    pub(in super::super) fn add(&self, key: &ObjectKey, id: &str, number: i32, whole: Whole) -> Result<()> {
        let Whole { size, etag, place, .. } = whole;
        let part = Part { place, size, etag, modified: SystemTime::now() };
        let replaced = with(&mut self.open(), key, id)?.parts.insert(number, part);
        // Its file is removed after the lock is released.
        drop(replaced);
        Ok(())
    }

    /// Whether the upload is open.
    pub(in super::super) fn check(&self, key: &ObjectKey, id: &str) -> Result<()> {
        with(&mut self.open(), key, id).map(drop)
    }

    /// The parts after `marker`, and whether there are more than `limit`.
    pub(in super::super) fn parts(
        &self,
        key: &ObjectKey,
        id: &str,
        marker: i32,
        limit: usize,
    ) -> Result<(Vec<PartRecord>, bool)> {
        let mut open = self.open();
        let after = with(&mut open, key, id)?.parts.range(marker.saturating_add(1)..);
        let mut records: Vec<_> = after.take(limit + 1).map(|(number, part)| part.record(*number)).collect();
        let truncated = records.len() > limit;
        records.truncate(limit);
        Ok((records, truncated))
    }

    /// Ends an upload and removes its parts.
    pub(in super::super) fn abort(&self, key: &ObjectKey, id: &str) -> Result<()> {
        let removed = self.open().remove(&(key.clone(), id.to_owned()));
        removed.map(drop).ok_or_else(|| Error::NoSuchUpload(key.clone()))
    }

    /// Ends every upload of an attempt and removes the parts.
    pub(in super::super) fn abort_of(&self, attempt: AttemptId) {
        let mut open = self.open();
        let of: Vec<_> = open
            .iter()
            .filter(|(_, upload)| upload.owner == Some(attempt))
            .map(|(at, _)| at.clone())
            .collect();
        let removed: Vec<_> = of.iter().filter_map(|at| open.remove(at)).collect();
        drop(open);
        drop(removed);
    }

    /// Up to `limit` open uploads of keys that start with `prefix`, in order.
    pub(in super::super) fn list(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Vec<(ObjectKey, UploadId, SystemTime)> {
        let open = self.open();
        let matching = open.iter().filter(|((key, _), _)| key.as_str().starts_with(prefix));
        matching.take(limit).map(|((key, id), upload)| (key.clone(), id.clone(), upload.initiated)).collect()
    }

    /// Takes an upload out, once the parts that are claimed are known to be there.
    fn take(&self, key: &ObjectKey, id: &str, claimed: &[Claimed]) -> Result<Upload> {
        let mut open = self.open();
        check_parts(with(&mut open, key, id)?, claimed)?;
        open.remove(&(key.clone(), id.to_owned())).ok_or_else(|| Error::NoSuchUpload(key.clone()))
    }
}

impl Part {
    fn record(&self, number: i32) -> PartRecord {
        PartRecord { number, size: self.size, etag: self.etag.clone(), modified: self.modified }
    }
}

fn with<'a>(
    open: &'a mut BTreeMap<(ObjectKey, UploadId), Upload>,
    key: &ObjectKey,
    id: &str,
) -> Result<&'a mut Upload> {
    open.get_mut(&(key.clone(), id.to_owned())).ok_or_else(|| Error::NoSuchUpload(key.clone()))
}

fn check_parts(upload: &Upload, claimed: &[Claimed]) -> Result<()> {
    if claimed.is_empty() {
        return Err(Error::InvalidPart(1));
    }
    if claimed.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return Err(Error::PartOrder);
    }
    for (at, claim) in claimed.iter().enumerate() {
        let part = upload.parts.get(&claim.number).ok_or(Error::InvalidPart(claim.number))?;
        if part.etag != claim.etag {
            return Err(Error::InvalidPart(claim.number));
        }
        if part.size < MIN_PART_BYTES && at + 1 < claimed.len() {
            return Err(Error::PartTooSmall(claim.number));
        }
    }
    Ok(())
}

impl Store {
    /// Joins the claimed parts, in their order; the upload is over then.
    pub(in super::super) fn join(
        &self,
        key: &ObjectKey,
        id: &str,
        claimed: &[Claimed],
    ) -> Result<(Draft, Attributes)> {
        let upload = self.uploads.take(key, id, claimed)?;
        let mut draft = self.draft()?;
        for claim in claimed {
            let part = upload.parts.get(&claim.number).ok_or(Error::InvalidPart(claim.number))?;
            let file = part.place.folder.file(&part.place.name)?;
            draft.copy_file(&file, 0..part.size)?;
        }
        Ok((draft, upload.attributes))
    }
}
