//! Whose signature it is, and what they may do: the two hooks that `s3s` asks.
//!
//! `check` runs for every request and proves the caller; it knows the operations that this store
//! offers and refuses the rest. The hook of each operation then puts its questions to the session's
//! policy, with the input as the operation itself will read it.

use std::sync::Arc;

use async_trait::async_trait;
use s3s::{
    S3Request, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    dto::{
        AbortMultipartUploadInput, CompleteMultipartUploadInput, CopyObjectInput, CopySource,
        CreateMultipartUploadInput, DeleteObjectInput, DeleteObjectsInput, GetBucketLocationInput,
        GetObjectInput, HeadBucketInput, HeadObjectInput, ListBucketsInput, ListMultipartUploadsInput,
        ListObjectsInput, ListObjectsV2Input, ListPartsInput, PutObjectInput, UploadPartCopyInput,
        UploadPartInput,
    },
    path::S3Path,
    s3_error,
};
use trace_contracts::ObjectKey;
use trace_controls::{Protection, stands};

use super::{
    caller::{self, Caller},
    denial::{Denial, DenialSink},
    front::PresentedToken,
    keys::RootCredentials,
    policy::Question,
    session::{Session, Sessions},
};

/// Everything that this store does. An operation that is not here is refused before its input is read.
const OPERATIONS: &[&str] = &[
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "GetBucketLocation",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
];

/// The identities of the store.
#[derive(Clone)]
pub(super) struct Authority {
    pub root: RootCredentials,
    pub sessions: Sessions,
    pub denials: Arc<dyn DenialSink>,
}

#[async_trait]
impl S3Auth for Authority {
    /// The secret of a session that ended is still known for a while: its owner is told why.
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.root.access_key_id {
            return Ok(SecretKey::from(self.root.secret_access_key.expose().as_str()));
        }
        match self.sessions.secret_of(access_key) {
            Some(secret) => Ok(SecretKey::from(secret.expose().as_str())),
            None => Err(s3_error!(InvalidAccessKeyId, "the access key is not known here")),
        }
    }
}

impl Authority {
    /// The caller behind a request whose signature was right.
    async fn prove(&self, cx: &mut S3AccessContext<'_>) -> S3Result<Caller> {
        let access_key = match cx.credentials() {
            Some(credentials) => credentials.access_key.clone(),
            None => return Err(s3_error!(AccessDenied, "sign the request: there is no anonymous access")),
        };
        let presented = cx.extensions_mut().get::<PresentedToken>().cloned();
        let token = presented.and_then(|PresentedToken(token)| token);
        if access_key == self.root.access_key_id {
            return match token {
                None => Ok(Caller::Platform),
                Some(_) => Err(s3_error!(InvalidToken, "these keys have no session token")),
            };
        }
        let unknown = || s3_error!(InvalidAccessKeyId, "the access key is not known here");
        let session = self.sessions.find(&access_key).ok_or_else(unknown)?;
        let proven = match &token {
            _ if !stands(Protection::SessionToken) => Ok(()),
            Some(token) if session.is_token(token.expose()) => session.alive().map_err(caller::ended),
            Some(_) => Err(s3_error!(InvalidToken, "the session token is not the one of these keys")),
            None => Err(s3_error!(InvalidToken, "send the session token, as x-amz-security-token")),
        };
        if let Err(refusal) = proven {
            return Err(self.refuse(&session, Asked::of(cx), refusal).await);
        }
        match Arc::clone(&session.slots).try_acquire_owned() {
            Ok(slot) => Ok(Caller::Attempt { session, _slot: Arc::new(slot) }),
            Err(_) => Err(s3_error!(SlowDown, "this session has too many requests in flight")),
        }
    }

    /// Puts a session's questions to its policy; the platform is asked nothing.
    async fn authorise<T>(
        &self,
        request: &S3Request<T>,
        operation: &str,
        needs: &[Need<'_>],
    ) -> S3Result<()> {
        let session = match caller_of(request)? {
            Caller::Platform => return Ok(()),
            Caller::Attempt { session, .. } => session,
        };
        if !stands(Protection::SessionPolicy) {
            return Ok(());
        }
        for need in needs {
            if let Err(why) = session.policy.decide(&need.question()) {
                let asked = Asked {
                    operation: operation.to_owned(),
                    bucket: need.bucket.to_owned(),
                    key: need.key.or(need.prefix).unwrap_or_default().to_owned(),
                };
                let refusal = s3_error!(AccessDenied, "{why} ({} on `{}`)", need.action, asked.key);
                return Err(self.refuse(&session, asked, refusal).await);
            }
        }
        Ok(())
    }

    /// Tells the audit log, then gives the refusal back.
    async fn refuse(&self, session: &Session, asked: Asked, refusal: s3s::S3Error) -> s3s::S3Error {
        let denial = Denial {
            org: session.org,
            task: session.task,
            attempt: session.attempt,
            kid: session.kid.clone(),
            operation: asked.operation,
            bucket: asked.bucket,
            key: asked.key,
            reason: refusal.message().unwrap_or_else(|| refusal.code().as_str()).to_owned(),
        };
        self.denials.denied(denial).await;
        refusal
    }
}

/// What a request asked for, for the audit log.
struct Asked {
    operation: String,
    bucket: String,
    key: String,
}

impl Asked {
    fn of(cx: &S3AccessContext<'_>) -> Self {
        Self {
            operation: cx.s3_op().name().to_owned(),
            bucket: cx.s3_path().get_bucket_name().unwrap_or_default().to_owned(),
            key: cx.s3_path().get_object_key().unwrap_or_default().to_owned(),
        }
    }
}

/// One thing that an operation needs.
struct Need<'a> {
    action: &'static str,
    bucket: &'a str,
    key: Option<&'a str>,
    resource: String,
    prefix: Option<&'a str>,
    delimiter: Option<&'a str>,
}

impl<'a> Need<'a> {
    fn object(action: &'static str, bucket: &'a str, key: &'a str) -> Self {
        let resource = format!("{bucket}/{key}");
        Self { action, bucket, key: Some(key), resource, prefix: None, delimiter: None }
    }

    fn bucket(action: &'static str, bucket: &'a str) -> Self {
        Self { action, bucket, key: None, resource: bucket.to_owned(), prefix: None, delimiter: None }
    }

    fn list(bucket: &'a str, prefix: Option<&'a str>, delimiter: Option<&'a str>) -> Self {
        Self { prefix, delimiter, ..Self::bucket("s3:ListBucket", bucket) }
    }

    /// The source of a copy is read.
    fn source(source: &'a CopySource) -> S3Result<Self> {
        match source {
            CopySource::Bucket { bucket, key, version_id: None } => Ok(Self::object(READ, bucket, key)),
            _ => Err(s3_error!(NotImplemented, "the source of a copy is /BUCKET/KEY, without a version")),
        }
    }

    fn question(&self) -> Question<'_> {
        Question {
            action: self.action,
            resource: &self.resource,
            prefix: self.prefix,
            delimiter: self.delimiter,
        }
    }
}

const READ: &str = "s3:GetObject";
const WRITE: &str = "s3:PutObject";
const DELETE: &str = "s3:DeleteObject";

/// The caller that `check` proved.
pub(super) fn caller_of<T>(request: &S3Request<T>) -> S3Result<Caller> {
    let unproven = || s3_error!(AccessDenied, "the caller is not proven");
    request.extensions.get::<Caller>().cloned().ok_or_else(unproven)
}

#[async_trait]
impl S3Access for Authority {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let caller = self.prove(cx).await?;
        let refusal = match cx.s3_path() {
            _ if !OPERATIONS.contains(&cx.s3_op().name()) => {
                Some(s3_error!(NotImplemented, "this store does not offer {}", cx.s3_op().name()))
            }
            S3Path::Object { key, .. } => {
                key.parse::<ObjectKey>().err().map(|why| s3_error!(InvalidArgument, "{why}"))
            }
            _ => None,
        };
        match (refusal, &caller) {
            (Some(refusal), Caller::Attempt { session, .. }) => {
                Err(self.refuse(session, Asked::of(cx), refusal).await)
            }
            (Some(refusal), Caller::Platform) => Err(refusal),
            (None, _) => {
                cx.extensions_mut().insert(caller);
                Ok(())
            }
        }
    }

    async fn get_object(&self, req: &mut S3Request<GetObjectInput>) -> S3Result<()> {
        let need = Need::object(READ, &req.input.bucket, &req.input.key);
        self.authorise(req, "GetObject", &[need]).await
    }

    async fn head_object(&self, req: &mut S3Request<HeadObjectInput>) -> S3Result<()> {
        let need = Need::object(READ, &req.input.bucket, &req.input.key);
        self.authorise(req, "HeadObject", &[need]).await
    }

    async fn put_object(&self, req: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        let need = Need::object(WRITE, &req.input.bucket, &req.input.key);
        self.authorise(req, "PutObject", &[need]).await
    }

    async fn copy_object(&self, req: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        let source = Need::source(&req.input.copy_source)?;
        let target = Need::object(WRITE, &req.input.bucket, &req.input.key);
        self.authorise(req, "CopyObject", &[source, target]).await
    }

    async fn delete_object(&self, req: &mut S3Request<DeleteObjectInput>) -> S3Result<()> {
        let need = Need::object(DELETE, &req.input.bucket, &req.input.key);
        self.authorise(req, "DeleteObject", &[need]).await
    }

    async fn delete_objects(&self, req: &mut S3Request<DeleteObjectsInput>) -> S3Result<()> {
        let objects = req.input.delete.objects.iter();
        let needs: Vec<_> =
            objects.map(|object| Need::object(DELETE, &req.input.bucket, &object.key)).collect();
        self.authorise(req, "DeleteObjects", &needs).await
    }

    async fn create_multipart_upload(&self, req: &mut S3Request<CreateMultipartUploadInput>) -> S3Result<()> {
        let need = Need::object(WRITE, &req.input.bucket, &req.input.key);
        self.authorise(req, "CreateMultipartUpload", &[need]).await
    }

    async fn upload_part(&self, req: &mut S3Request<UploadPartInput>) -> S3Result<()> {
        let need = Need::object(WRITE, &req.input.bucket, &req.input.key);
        self.authorise(req, "UploadPart", &[need]).await
    }

    async fn upload_part_copy(&self, req: &mut S3Request<UploadPartCopyInput>) -> S3Result<()> {
        let source = Need::source(&req.input.copy_source)?;
        let target = Need::object(WRITE, &req.input.bucket, &req.input.key);
        self.authorise(req, "UploadPartCopy", &[source, target]).await
    }

    async fn complete_multipart_upload(
        &self,
        req: &mut S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<()> {
        let need = Need::object(WRITE, &req.input.bucket, &req.input.key);
        self.authorise(req, "CompleteMultipartUpload", &[need]).await
    }

    async fn abort_multipart_upload(&self, req: &mut S3Request<AbortMultipartUploadInput>) -> S3Result<()> {
        let need = Need::object("s3:AbortMultipartUpload", &req.input.bucket, &req.input.key);
        self.authorise(req, "AbortMultipartUpload", &[need]).await
    }

    async fn list_parts(&self, req: &mut S3Request<ListPartsInput>) -> S3Result<()> {
        let need = Need::object("s3:ListMultipartUploadParts", &req.input.bucket, &req.input.key);
        self.authorise(req, "ListParts", &[need]).await
    }

    /// IAM has no `s3:prefix` for this action: a statement with that condition does not allow it.
    async fn list_multipart_uploads(&self, req: &mut S3Request<ListMultipartUploadsInput>) -> S3Result<()> {
        let need = Need::bucket("s3:ListBucketMultipartUploads", &req.input.bucket);
        self.authorise(req, "ListMultipartUploads", &[need]).await
    }

    async fn list_objects(&self, req: &mut S3Request<ListObjectsInput>) -> S3Result<()> {
        let input = &req.input;
        let need = Need::list(&input.bucket, input.prefix.as_deref(), input.delimiter.as_deref());
        self.authorise(req, "ListObjects", &[need]).await
    }

    async fn list_objects_v2(&self, req: &mut S3Request<ListObjectsV2Input>) -> S3Result<()> {
        let input = &req.input;
        let need = Need::list(&input.bucket, input.prefix.as_deref(), input.delimiter.as_deref());
        self.authorise(req, "ListObjectsV2", &[need]).await
    }

    async fn head_bucket(&self, req: &mut S3Request<HeadBucketInput>) -> S3Result<()> {
        let need = Need::list(&req.input.bucket, None, None);
        self.authorise(req, "HeadBucket", &[need]).await
    }

    async fn get_bucket_location(&self, req: &mut S3Request<GetBucketLocationInput>) -> S3Result<()> {
        let need = Need::bucket("s3:GetBucketLocation", &req.input.bucket);
        self.authorise(req, "GetBucketLocation", &[need]).await
    }

    async fn list_buckets(&self, req: &mut S3Request<ListBucketsInput>) -> S3Result<()> {
        self.authorise(req, "ListBuckets", &[Need::bucket("s3:ListAllMyBuckets", "")]).await
    }
}
