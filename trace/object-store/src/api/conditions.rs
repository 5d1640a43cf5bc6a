//! Conditional requests: readers ask for exactly the ETag that a manifest names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use s3s::{
    S3Result,
    dto::{ETagCondition, Timestamp},
    s3_error,
};

use super::store::{About, Replace};

/// What a reader asks to hold.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

/// The conditions in a reader's input.
macro_rules! conditions_of {
    ($input:ident) => {
        $crate::api::conditions::Conditions {
            if_match: $input.if_match,
            if_none_match: $input.if_none_match,
            if_modified_since: $input.if_modified_since,
            if_unmodified_since: $input.if_unmodified_since,
        }
    };
}

/// The conditions on the source in the input of a copy.
macro_rules! source_conditions_of {
    ($input:ident) => {
        $crate::api::conditions::Conditions {
            if_match: $input.copy_source_if_match,
            if_none_match: $input.copy_source_if_none_match,
            if_modified_since: $input.copy_source_if_modified_since,
            if_unmodified_since: $input.copy_source_if_unmodified_since,
        }
    };
}

pub(super) use conditions_of;
pub(super) use source_conditions_of;

impl Conditions {
    /// Checks them in the order of RFC 9110: an ETag goes before a time.
    pub(super) fn check(&self, about: &About) -> S3Result<()> {
        let modified = Timestamp::from(whole_second(about.modified));
        let still_that = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => names(condition, &about.etag),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !still_that {
            return Err(s3_error!(PreconditionFailed, "the object is not the one that was asked for"));
        }
        let changed = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => !names(condition, &about.etag),
            (None, Some(since)) => modified > *since,
            (None, None) => true,
        };
        if changed { Ok(()) } else { Err(s3_error!(NotModified)) }
    }
}

/// What may be replaced by a write.
pub(super) fn replace(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Replace> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Replace::Anything),
        (Some(ETagCondition::Any), None) => Ok(Replace::Something),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Replace::Exactly(etag.value().to_owned())),
        (None, Some(ETagCondition::Any)) => Ok(Replace::Nothing),
        _ => Err(s3_error!(NotImplemented, "a write takes `If-Match: ETAG` or `If-None-Match: *`")),
    }
}

fn names(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(asked) => asked.as_strong() == Some(etag),
    }
}

/// Dates in HTTP have no fractions.
fn whole_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;
    use crate::store::Attributes;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 500)
    }

    fn verdict(conditions: &Conditions) -> Result<(), S3ErrorCode> {
        let about =
            About { size: 1, etag: "abc".to_owned(), modified: at(100), attributes: Attributes::default() };
        conditions.check(&about).map_err(|error| error.code().clone())
    }

    fn etag(text: &str) -> Option<ETagCondition> {
        Some(text.parse().unwrap())
    }

    fn time(seconds: u64) -> Option<Timestamp> {
        Some(Timestamp::from(UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    #[test]
    fn readers_get_what_they_asked_for_or_are_told() {
        let none = Conditions::default;
        let failed = Err(S3ErrorCode::PreconditionFailed);
        let same = Err(S3ErrorCode::NotModified);
        let cases = [
            (none(), Ok(())),
            (Conditions { if_match: etag("\"abc\""), ..none() }, Ok(())),
            (Conditions { if_match: etag("*"), ..none() }, Ok(())),
            (Conditions { if_match: etag("\"abd\""), ..none() }, failed.clone()),
            (Conditions { if_match: etag("W/\"abc\""), ..none() }, failed.clone()),
            (Conditions { if_none_match: etag("\"abc\""), ..none() }, same.clone()),
            (Conditions { if_none_match: etag("\"abd\""), ..none() }, Ok(())),
            (Conditions { if_unmodified_since: time(100), ..none() }, Ok(())),
            (Conditions { if_unmodified_since: time(99), ..none() }, failed),
            (Conditions { if_modified_since: time(99), ..none() }, Ok(())),
            (Conditions { if_modified_since: time(100), ..none() }, same),
            (Conditions { if_match: etag("\"abc\""), if_unmodified_since: time(1), ..none() }, Ok(())),
            (Conditions { if_none_match: etag("\"x\""), if_modified_since: time(200), ..none() }, Ok(())),
        ];
        for (conditions, expected) in cases {
            assert_eq!(verdict(&conditions), expected, "{conditions:?}");
        }
    }

    #[test]
    fn writers_replace_what_they_name() {
        let condition = |text| etag(text).unwrap();
        assert_eq!(replace(None, None).unwrap(), Replace::Anything);
        assert_eq!(replace(None, Some(&condition("*"))).unwrap(), Replace::Nothing);
        assert_eq!(replace(Some(&condition("*")), None).unwrap(), Replace::Something);
        assert_eq!(replace(Some(&condition("\"a\"")), None).unwrap(), Replace::Exactly("a".to_owned()));
        assert!(replace(None, Some(&condition("\"a\""))).is_err());
        assert!(replace(Some(&condition("*")), Some(&condition("*"))).is_err());
    }
}
