//! What a writer says about an object, bounded.

use s3s::{S3Result, dto::Metadata, s3_error};

use super::store::Attributes;

/// As in S3: names and values of `x-amz-meta-…` together.
const MAX_METADATA_BYTES: usize = 2048;
const MAX_HEADER_BYTES: usize = 1024;

/// The attributes that the input of a write gives, by the field names that all of them share.
macro_rules! attributes_of {
    ($input:ident) => {
        $crate::api::attributes::metadata(
            $input.metadata,
            $crate::store::Attributes {
                content_type: $input.content_type,
                content_encoding: $crate::api::attributes::stored_encoding($input.content_encoding),
                content_disposition: $input.content_disposition,
                content_language: $input.content_language,
                cache_control: $input.cache_control,
                metadata: std::collections::BTreeMap::new(),
            },
        )
    };
}

/// Refuses what a write may ask for in S3 and this store does not have: taking it and doing nothing
/// would promise an encryption or a lock that is not there.
macro_rules! refuse_write_options {
    ($input:ident) => {
        $crate::api::refuse_options(&[
            ("x-amz-acl", $input.acl.is_some()),
            ("x-amz-tagging", $input.tagging.is_some()),
            ("x-amz-server-side-encryption", $input.server_side_encryption.is_some()),
            ("x-amz-server-side-encryption-customer-algorithm", $input.sse_customer_algorithm.is_some()),
            ("x-amz-object-lock-mode", $input.object_lock_mode.is_some()),
            ("x-amz-object-lock-legal-hold", $input.object_lock_legal_hold_status.is_some()),
            ("x-amz-website-redirect-location", $input.website_redirect_location.is_some()),
        ])
    };
}

pub(super) use attributes_of;
pub(super) use refuse_write_options;

/// Takes the user's metadata.
pub(super) fn metadata(unverified: Option<Metadata>, mut attributes: Attributes) -> S3Result<Attributes> {
    attributes.metadata = unverified.unwrap_or_default().into_iter().collect();
    let metadata_bytes: usize =
        attributes.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if metadata_bytes > MAX_METADATA_BYTES {
        return Err(s3_error!(MetadataTooLarge, "the metadata has at most {MAX_METADATA_BYTES} bytes"));
    }
    let Attributes {
        content_type,
        content_encoding,
        content_disposition,
        content_language,
        cache_control,
        ..
    } = &attributes;
    let headers = [content_type, content_encoding, content_disposition, content_language, cache_control];
    if headers.into_iter().flatten().any(|value| value.len() > MAX_HEADER_BYTES) {
        return Err(s3_error!(InvalidArgument, "a header of an object has at most {MAX_HEADER_BYTES} bytes"));
    }
    Ok(attributes)
}

/// `aws-chunked` says how the bytes travelled, which is over when they are stored.
pub(super) fn stored_encoding(encoding: Option<String>) -> Option<String> {
    let encoding = encoding?;
    let kept: Vec<_> = encoding.split(',').map(str::trim).filter(|part| *part != "aws-chunked").collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_encoding_of_the_content_is_kept() {
        let stored = |encoding: &str| stored_encoding(Some(encoding.to_owned()));
        assert_eq!(stored("aws-chunked"), None);
        assert_eq!(stored("aws-chunked, gzip").as_deref(), Some("gzip"));
        assert_eq!(stored("gzip,aws-chunked").as_deref(), Some("gzip"));
        assert_eq!(stored("gzip").as_deref(), Some("gzip"));
        assert_eq!(stored_encoding(None), None);
    }

    #[test]
    fn metadata_is_bounded() {
        let one = |bytes: usize| Metadata::from([("a".to_owned(), "x".repeat(bytes))]);
        assert!(metadata(Some(one(2047)), Attributes::default()).is_ok());
        assert!(metadata(Some(one(2048)), Attributes::default()).is_err());
        let long = Attributes { content_type: Some("x".repeat(1025)), ..Attributes::default() };
        assert!(metadata(None, long).is_err());
    }
}
