//! The operations of S3 that this store offers, on top of [`Store`](super::store::Store). The caller
//! is proven and authorised before any of them runs; see [`super::authority`].

mod attributes;
mod checksum;
mod conditions;
mod download;
mod errors;
mod listing;
mod multipart;
mod objects;
mod upload;

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use s3s::{
    S3, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, BucketLocationConstraint,
        CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput,
        CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput,
        DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput,
        GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
        HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
        ListObjectsV2Output, ListPartsInput, ListPartsOutput, PutObjectInput, PutObjectOutput, Timestamp,
        UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
    },
    s3_error,
};
use trace_contracts::ObjectKey;

use super::store::{self, Store};

/// The one bucket.
#[derive(Clone)]
pub(super) struct Api {
    pub store: Arc<Store>,
    pub bucket: Arc<str>,
    pub region: Arc<str>,
    /// Clients want a date for the bucket.
    pub started: SystemTime,
}

impl Api {
    /// Only the one bucket is here.
    fn check_bucket(&self, unverified: &str) -> S3Result<()> {
        if *unverified == *self.bucket {
            return Ok(());
        }
        Err(s3_error!(NoSuchBucket, "the only bucket here is `{}`", self.bucket))
    }

    /// A key in the one bucket.
    fn key(&self, unverified_bucket: &str, unverified_key: &str) -> S3Result<ObjectKey> {
        self.check_bucket(unverified_bucket)?;
        unverified_key.parse().map_err(|why| s3_error!(InvalidArgument, "{why}"))
    }

    /// Runs what blocks on a thread for that.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> store::Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .map_err(s3s::S3Error::internal_error)?
            .map_err(errors::answer)
    }
}

/// Runs what blocks and needs no store.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> store::Result<T> + Send + 'static,
) -> S3Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(s3s::S3Error::internal_error)?;
    done.map_err(errors::answer)
}

/// An option of S3 that this store does not have must not be taken and ignored.
fn refuse_options(options: &[(&str, bool)]) -> S3Result<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(s3_error!(NotImplemented, "this store does not offer `{name}`")),
        None => Ok(()),
    }
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait]
impl S3 for Api {
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        self.get(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        self.head(req).await
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        self.put(req).await
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        self.copy(req).await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        self.delete(req).await
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        self.delete_many(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        self.create_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        self.put_part(req).await
    }

    async fn upload_part_copy(&self, req: S3Request<UploadPartCopyInput>) -> Answer<UploadPartCopyOutput> {
        self.copy_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        self.complete_upload(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        self.abort_upload(req).await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        self.parts(req).await
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        self.uploads(req).await
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        self.list_v1(req).await
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        self.list_v2(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.check_bucket(&req.input.bucket)?;
        let bucket_region = Some(self.region.to_string());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        self.check_bucket(&req.input.bucket)?;
        let location_constraint = Some(BucketLocationConstraint::from(self.region.to_string()));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }

    async fn list_buckets(&self, _req: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        let bucket = s3s::dto::Bucket {
            name: Some(self.bucket.to_string()),
            creation_date: Some(Timestamp::from(self.started)),
            ..s3s::dto::Bucket::default()
        };
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(vec![bucket]), ..ListBucketsOutput::default() }))
    }
}
