//! One object: get, head, put, copy, delete.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
        DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, GetObjectInput,
        GetObjectOutput, HeadObjectInput, HeadObjectOutput, Metadata, MetadataDirective, PutObjectInput,
        PutObjectOutput, Range, Timestamp,
    },
    s3_error,
};

use super::{
    super::authority::caller_of,
    Answer, Api,
    attributes::{attributes_of, refuse_write_options},
    conditions::{self, Conditions, conditions_of, source_conditions_of},
    download, refuse_options,
    store::{About, Opened, Replace},
    upload::Promise,
};

impl Api {
    pub(super) async fn get(&self, req: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let caller = caller_of(&req)?;
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        refuse_options(&[
            ("partNumber", input.part_number.is_some()),
            ("versionId", is_version(&input.version_id)),
        ])?;
        let conditions = conditions_of!(input);
        let opened = self.blocking(move |store| store.get(&key)).await?;
        conditions.check(&opened.about)?;
        let (range, content_range) = part(input.range, opened.about.size)?;
        let about = opened.about.clone();
        let kept = about.attributes;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: length(range.end - range.start),
            content_range,
            e_tag: Some(ETag::Strong(about.etag)),
            last_modified: Some(Timestamp::from(about.modified)),
            content_type: kept.content_type,
            content_encoding: kept.content_encoding,
            content_disposition: kept.content_disposition,
            content_language: kept.content_language,
            cache_control: kept.cache_control,
            metadata: some(kept.metadata.into_iter().collect()),
            body: Some(download::body(opened, range, caller)),
            ..GetObjectOutput::default()
        }))
    }

    pub(super) async fn head(&self, req: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        refuse_options(&[
            ("partNumber", input.part_number.is_some()),
            ("versionId", is_version(&input.version_id)),
        ])?;
        let conditions = conditions_of!(input);
        let Opened { about, .. } = self.blocking(move |store| store.get(&key)).await?;
        conditions.check(&about)?;
        let (range, content_range) = part(input.range, about.size)?;
        let kept = about.attributes;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: length(range.end - range.start),
            content_range,
            e_tag: Some(ETag::Strong(about.etag)),
            last_modified: Some(Timestamp::from(about.modified)),
            content_type: kept.content_type,
            content_encoding: kept.content_encoding,
            content_disposition: kept.content_disposition,
            content_language: kept.content_language,
            cache_control: kept.cache_control,
            metadata: some(kept.metadata.into_iter().collect()),
            ..HeadObjectOutput::default()
        }))
    }

    pub(super) async fn put(&self, req: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let caller = caller_of(&req)?;
        let promise = Promise::of(&req, req.input.content_length)?;
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        refuse_write_options!(input)?;
        let replace = conditions::replace(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let attributes = attributes_of!(input)?;
        let (whole, checksum) = self.receive(input.body, promise, &caller).await?;
        caller.alive()?;
        let about = self.blocking(move |store| store.put(&key, whole, attributes, &replace)).await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(about.etag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..PutObjectOutput::default()
        }))
    }

    pub(super) async fn copy(&self, req: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let caller = caller_of(&req)?;
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        refuse_write_options!(input)?;
        let conditions = source_conditions_of!(input);
        let opened = self.source(&input.copy_source, &conditions).await?;
        let replaced = input
            .metadata_directive
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        let attributes = match replaced {
            true => attributes_of!(input)?,
            false => opened.about.attributes.clone(),
        };
        let whole = self
            .blocking(move |store| {
                let mut draft = store.draft()?;
                draft.copy(&opened, 0..opened.about.size)?;
                Ok(draft.finish())
            })
            .await?;
        caller.alive()?;
        let about =
            self.blocking(move |store| store.put(&key, whole, attributes, &Replace::Anything)).await?;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(about.etag)),
            last_modified: Some(Timestamp::from(about.modified)),
            ..CopyObjectResult::default()
        };
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        }))
    }

    /// Opens the source of a copy. That it may be read was checked with the rest of the request.
    pub(super) async fn source(&self, source: &CopySource, conditions: &Conditions) -> S3Result<Opened> {
        let CopySource::Bucket { bucket, key, version_id: None } = source else {
            return Err(s3_error!(NotImplemented, "the source of a copy is /BUCKET/KEY, without a version"));
        };
        let key = self.key(bucket, key)?;
        let opened = self.blocking(move |store| store.get(&key)).await?;
        conditions.check(&opened.about)?;
        Ok(opened)
    }

    pub(super) async fn delete(&self, req: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        let caller = caller_of(&req)?;
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        refuse_options(&[
            ("If-Match", input.if_match.is_some()),
            ("versionId", is_version(&input.version_id)),
        ])?;
        caller.alive()?;
        self.blocking(move |store| store.delete(&key)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    pub(super) async fn delete_many(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        const MOST: usize = 1000;
        let caller = caller_of(&req)?;
        let input = req.input;
        if input.delete.objects.len() > MOST {
            return Err(s3_error!(MalformedXML, "one request deletes at most {MOST} objects"));
        }
        let mut keys = Vec::with_capacity(input.delete.objects.len());
        for object in &input.delete.objects {
            refuse_options(&[("VersionId", is_version(&object.version_id))])?;
            keys.push(self.key(&input.bucket, &object.key)?);
        }
        caller.alive()?;
        let deleted = self
            .blocking(move |store| {
                keys.iter().try_for_each(|key| store.delete(key))?;
                Ok(keys)
            })
            .await?;
        let deleted = deleted
            .into_iter()
            .map(|key| DeletedObject { key: Some(key.to_string()), ..DeletedObject::default() })
            .collect();
        let shown = if input.delete.quiet == Some(true) { None } else { Some(deleted) };
        Ok(S3Response::new(DeleteObjectsOutput { deleted: shown, ..DeleteObjectsOutput::default() }))
    }
}

/// This store keeps one version of an object, which S3 calls `null`.
fn is_version(version_id: &Option<String>) -> bool {
    version_id.as_deref().is_some_and(|id| id != "null")
}

/// The bytes to send, and how that is said when it is not all of them.
fn part(range: Option<Range>, size: u64) -> S3Result<(std::ops::Range<u64>, Option<String>)> {
    let Some(range) = range else { return Ok((0..size, None)) };
    let range = range.check(size).map_err(|_| s3_error!(InvalidRange, "the object has {size} bytes"))?;
    let shown = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    Ok((range, Some(shown)))
}

pub(super) fn length(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok()
}

fn some(metadata: Metadata) -> Option<Metadata> {
    (!metadata.is_empty()).then_some(metadata)
}

/// The size of an object as lists say it.
pub(super) fn shown(about: &About) -> (Option<ETag>, Option<i64>, Option<Timestamp>) {
    (Some(ETag::Strong(about.etag.clone())), length(about.size), Some(Timestamp::from(about.modified)))
}
