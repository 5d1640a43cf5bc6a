//! A body on its way in.

use futures::StreamExt;
use s3s::{
    S3Request, S3Result, TrailingHeaders,
    dto::{Checksum, StreamingBlob},
    s3_error,
};

use super::{
    super::{
        caller::{self, Caller},
        session::Ended,
    },
    Api, blocking,
    checksum::Checks,
    store::{Draft, Whole},
};

/// Bytes are handed to the disk in pieces of about this size.
const CHUNK: usize = 1024 * 1024;

/// What an upload promises.
pub(super) struct Promise {
    checks: Checks,
    trailing: Option<TrailingHeaders>,
    length: Option<u64>,
}

impl Promise {
    /// Reads the promises of a request with a body.
    pub(super) fn of<T>(request: &S3Request<T>, content_length: Option<i64>) -> S3Result<Self> {
        let negative = |_| s3_error!(InvalidArgument, "`content-length` is negative");
        Ok(Self {
            checks: Checks::promised(&request.headers)?,
            trailing: request.trailing_headers.clone(),
            length: content_length.map(u64::try_from).transpose().map_err(negative)?,
        })
    }
}

/// What is being received.
struct Receiving {
    draft: Draft,
    checks: Checks,
}

impl Receiving {
    /// Hashing and writing block, so that they happen on a thread for that.
    async fn take(mut self, bytes: Vec<u8>) -> S3Result<Self> {
        blocking(move || {
            self.checks.update(&bytes);
            self.draft.write(&bytes)?;
            Ok(self)
        })
        .await
    }
}

impl Api {
    /// Receives a whole body and checks everything that was promised about it.
    pub(super) async fn receive(
        &self,
        body: Option<StreamingBlob>,
        promise: Promise,
        caller: &Caller,
    ) -> S3Result<(Whole, Checksum)> {
        let draft = self.blocking(|store| store.draft()).await?;
        let mut receiving = Receiving { draft, checks: promise.checks };
        let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
        let mut pending = Vec::with_capacity(CHUNK);
        let revoked = caller.revoked();
        loop {
            let chunk = tokio::select! {
                () = revoked.cancelled() => return Err(caller::ended(Ended::Revoked)),
                chunk = body.next() => chunk,
            };
            let Some(chunk) = chunk else { break };
            pending.extend_from_slice(&chunk.map_err(not_as_signed)?);
            if pending.len() >= CHUNK {
                let full = std::mem::replace(&mut pending, Vec::with_capacity(CHUNK));
                receiving = receiving.take(full).await?;
            }
        }
        let Receiving { draft, checks } = receiving.take(pending).await?;
        if promise.length.is_some_and(|length| length != draft.size()) {
            return Err(s3_error!(IncompleteBody, "the body is not as long as its header says"));
        }
        let checksum = checks.finish(promise.trailing.as_ref())?;
        Ok((draft.finish(), checksum))
    }
}

/// The stream checks the signature of each chunk and the hash of the whole as they arrive.
fn not_as_signed(error: s3s::StdError) -> s3s::S3Error {
    s3_error!(IncompleteBody, "the body broke off, or is not the one that was signed: {error}")
}
