//! Listing objects, in both of S3's forms.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        CommonPrefix, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object,
        ObjectStorageClass,
    },
    s3_error,
};

use super::{
    Answer, Api,
    objects::shown,
    store::{Entry, Grouping, Listing, Page},
};

const MAX_KEYS: i32 = 1000;

impl Api {
    pub(super) async fn list_v2(&self, req: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        let input = req.input;
        self.check_bucket(&input.bucket)?;
        let resumed = input.continuation_token.as_deref().map(position).transpose()?;
        let after = resumed.or_else(|| input.start_after.clone()).unwrap_or_default();
        let max_keys = limit(input.max_keys)?;
        let page = self.page(input.prefix.as_deref(), input.delimiter.as_deref(), after, max_keys).await?;
        let next = page.next.as_deref().map(|next| URL_SAFE_NO_PAD.encode(next));
        let (contents, common_prefixes) = split(page);
        let count = contents.len() + common_prefixes.len();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: Some(max_keys),
            key_count: i32::try_from(count).ok(),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            ..ListObjectsV2Output::default()
        }))
    }

    pub(super) async fn list_v1(&self, req: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        let input = req.input;
        self.check_bucket(&input.bucket)?;
        let after = input.marker.clone().unwrap_or_default();
        let max_keys = limit(input.max_keys)?;
        let page = self.page(input.prefix.as_deref(), input.delimiter.as_deref(), after, max_keys).await?;
        let next_marker = page.next.clone();
        let (contents, common_prefixes) = split(page);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            marker: input.marker,
            max_keys: Some(max_keys),
            is_truncated: Some(next_marker.is_some()),
            next_marker,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            ..ListObjectsOutput::default()
        }))
    }

    async fn page(
        &self,
        prefix: Option<&str>,
        delimiter: Option<&str>,
        after: String,
        max_keys: i32,
    ) -> S3Result<Page> {
        let grouping = match delimiter {
            None | Some("") => Grouping::Flat,
            Some("/") => Grouping::Folders,
            Some(_) => return Err(s3_error!(NotImplemented, "the only delimiter is `/`")),
        };
        let limit = usize::try_from(max_keys).unwrap_or_default();
        let listing = Listing { prefix: prefix.unwrap_or_default().to_owned(), grouping, after, limit };
        self.blocking(move |store| {
            listing.check_prefix()?;
            store.list(&listing)
        })
        .await
    }
}

fn limit(asked: Option<i32>) -> S3Result<i32> {
    match asked.unwrap_or(MAX_KEYS) {
        negative if negative < 0 => Err(s3_error!(InvalidArgument, "`max-keys` is negative")),
        asked => Ok(asked.min(MAX_KEYS)),
    }
}

/// A continuation token is the last entry of the page before.
fn position(unverified_token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(unverified_token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not one of this store"))
}

fn split(page: Page) -> (Vec<Object>, Vec<CommonPrefix>) {
    let (mut objects, mut folders) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::Object(key, about) => {
                let (e_tag, size, last_modified) = shown(&about);
                let storage_class = Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD));
                let key = Some(key.to_string());
                objects.push(Object { key, e_tag, size, last_modified, storage_class, ..Object::default() });
            }
            Entry::Folder(path) => folders.push(CommonPrefix { prefix: Some(path) }),
        }
    }
    (objects, folders)
}
