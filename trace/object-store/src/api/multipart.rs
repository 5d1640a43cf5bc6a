//! Large objects in parts.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CompletedPart, CopyPartResult, CreateMultipartUploadInput,
        CreateMultipartUploadOutput, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput,
        ListPartsInput, ListPartsOutput, MultipartUpload, Part, Range, Timestamp, UploadPartCopyInput,
        UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
    },
    s3_error,
};

use super::{
    super::authority::caller_of,
    Answer, Api,
    attributes::{attributes_of, refuse_write_options},
    conditions::{self, source_conditions_of},
    objects::length,
    refuse_options,
    store::{Claimed, PartRecord},
    upload::Promise,
};

const MAX_PARTS: i32 = 10_000;
const MAX_PAGE: usize = 1000;

impl Api {
    pub(super) async fn create_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let caller = caller_of(&req)?;
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        refuse_write_options!(input)?;
        let attributes = attributes_of!(input)?;
        caller.alive()?;
        let owner = caller.attempt();
        let id = self.blocking(move |store| store.uploads.create(&key, attributes, owner)).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn put_part(&self, req: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let caller = caller_of(&req)?;
        let promise = Promise::of(&req, req.input.content_length)?;
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        let (id, number) = (input.upload_id, part_number(input.part_number)?);
        self.store.uploads.check(&key, &id).map_err(super::errors::answer)?;
        let (whole, checksum) = self.receive(input.body, promise, &caller).await?;
        let etag = whole.etag.clone();
        caller.alive()?;
        self.blocking(move |store| store.uploads.add(&key, &id, number, whole)).await?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..UploadPartOutput::default()
        }))
    }

    pub(super) async fn copy_part(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        let caller = caller_of(&req)?;
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        let (id, number) = (input.upload_id, part_number(input.part_number)?);
        let conditions = source_conditions_of!(input);
        self.store.uploads.check(&key, &id).map_err(super::errors::answer)?;
        let opened = self.source(&input.copy_source, &conditions).await?;
        let size = opened.about.size;
        let invalid = || s3_error!(InvalidRange, "the source has {size} bytes");
        let range = match input.copy_source_range {
            None => 0..size,
            Some(text) => {
                Range::parse(&text).ok().and_then(|range| range.check(size).ok()).ok_or_else(invalid)?
            }
        };
        let whole = self
            .blocking(move |store| {
                let mut draft = store.draft()?;
                draft.copy(&opened, range)?;
                Ok(draft.finish())
            })
            .await?;
        let etag = whole.etag.clone();
        caller.alive()?;
        self.blocking(move |store| store.uploads.add(&key, &id, number, whole)).await?;
        let result = CopyPartResult { e_tag: Some(ETag::Strong(etag)), ..CopyPartResult::default() };
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        }))
    }

    pub(super) async fn complete_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let caller = caller_of(&req)?;
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        let replace = conditions::replace(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let claimed = parts.into_iter().map(claimed).collect::<S3Result<Vec<_>>>()?;
        let id = input.upload_id;
        let (whole, attributes, key) = self
            .blocking(move |store| {
                let (draft, attributes) = store.join(&key, &id, &claimed)?;
                Ok((draft.finish(), attributes, key))
            })
            .await?;
        caller.alive()?;
        let about = self.blocking(move |store| store.put(&key, whole, attributes, &replace)).await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(about.etag)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn abort_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        self.blocking(move |store| store.uploads.abort(&key, &input.upload_id)).await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) async fn parts(&self, req: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        let input = req.input;
        let key = self.key(&input.bucket, &input.key)?;
        let marker = input.part_number_marker.unwrap_or_default();
        let limit = page(input.max_parts);
        let id = input.upload_id.clone();
        let (records, truncated) =
            self.blocking(move |store| store.uploads.parts(&key, &id, marker, limit)).await?;
        let next = records.last().filter(|_| truncated).map(|record| record.number);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(marker),
            next_part_number_marker: next,
            is_truncated: Some(truncated),
            parts: Some(records.into_iter().map(part).collect()),
            ..ListPartsOutput::default()
        }))
    }

    pub(super) async fn uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let input = req.input;
        self.check_bucket(&input.bucket)?;
        refuse_options(&[
            ("delimiter", input.delimiter.is_some()),
            ("key-marker", input.key_marker.is_some()),
        ])?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let open = self.blocking(move |store| Ok(store.uploads.list(&prefix, MAX_PAGE))).await?;
        let uploads = open
            .into_iter()
            .map(|(key, id, initiated)| MultipartUpload {
                key: Some(key.to_string()),
                upload_id: Some(id),
                initiated: Some(Timestamp::from(initiated)),
                ..MultipartUpload::default()
            })
            .collect();
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            is_truncated: Some(false),
            uploads: Some(uploads),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}

fn part_number(unverified: i32) -> S3Result<i32> {
    if (1..=MAX_PARTS).contains(&unverified) {
        return Ok(unverified);
    }
    Err(s3_error!(InvalidArgument, "parts are numbered from 1 to {MAX_PARTS}"))
}

fn claimed(unverified: CompletedPart) -> S3Result<Claimed> {
    match (unverified.part_number, unverified.e_tag) {
        (Some(number), Some(etag)) => Ok(Claimed { number: part_number(number)?, etag: etag.into_value() }),
        _ => Err(s3_error!(MalformedXML, "each part has a PartNumber and an ETag")),
    }
}

fn part(record: PartRecord) -> Part {
    Part {
        part_number: Some(record.number),
        size: length(record.size),
        e_tag: Some(ETag::Strong(record.etag)),
        last_modified: Some(Timestamp::from(record.modified)),
        ..Part::default()
    }
}

fn page(asked: Option<i32>) -> usize {
    asked.and_then(|asked| usize::try_from(asked).ok()).map_or(MAX_PAGE, |asked| asked.clamp(1, MAX_PAGE))
}
