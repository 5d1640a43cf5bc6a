//! The store's errors as S3 says them.

use s3s::{S3Error, S3ErrorCode};

use super::store::Error;

/// The answer to an error. What happened on the disk is logged, not told.
pub(super) fn answer(error: Error) -> S3Error {
    let code = match &error {
        Error::NotFound(_) => S3ErrorCode::NoSuchKey,
        Error::TooLarge { .. } => S3ErrorCode::EntityTooLarge,
        Error::SegmentTooLong => S3ErrorCode::KeyTooLongError,
        Error::Precondition => S3ErrorCode::PreconditionFailed,
        Error::NoSuchUpload(_) => S3ErrorCode::NoSuchUpload,
        Error::InvalidPart(_) => S3ErrorCode::InvalidPart,
        Error::PartOrder => S3ErrorCode::InvalidPartOrder,
        Error::PartTooSmall(_) => S3ErrorCode::EntityTooSmall,
        Error::TooManyUploads => S3ErrorCode::SlowDown,
        Error::Prefix => S3ErrorCode::InvalidArgument,
        Error::Io(source) => {
            tracing::error!(%source, "the object store's files");
            return S3Error::with_message(S3ErrorCode::InternalError, "the store's files could not be used");
        }
    };
    S3Error::with_message(code, error.to_string())
}
