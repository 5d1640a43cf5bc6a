//! Names of AWS: partitions, roles and keys.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// A partition of AWS, such as `aws`, `aws-cn` or `aws-us-gov`. It is part of every ARN, and an ARN
/// with the wrong one names nothing: a policy with it grants nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition(String);

/// The role that sessions are of: `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn {
    text: String,
    partition: Partition,
}

/// A key of KMS: `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`. No alias: policies don't resolve them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKeyArn {
    text: String,
    partition: Partition,
    region: String,
}

/// What AWS calls what a session policy is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreNames {
    /// The partition of every ARN.
    pub partition: Partition,
    /// The key that the bucket's objects are encrypted with, where it is one of KMS.
    pub kms_key: Option<KmsKeyArn>,
}

/// Why a text is not a key's ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the ARN of a KMS key: expected arn:aws:kms:REGION:123456789012:key/ID, or another partition; \
     the ARN of an alias is none"
)]
pub struct InvalidKmsKey(String);

/// Why a text is not a role's ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the ARN of a role: expected arn:aws:iam::123456789012:role/NAME, or another partition")]
pub struct InvalidRole(String);

/// AWS allows 2,048; a name has 64 and a path 512.
const MAX_ARN_CHARS: usize = 700;
/// Longer than any region's name.
const MAX_REGION_CHARS: usize = 40;
/// A key's id has 36, one of several regions 36 too.
const MAX_KEY_ID_CHARS: usize = 64;
/// Longer than any partition's name.
const MAX_PARTITION_CHARS: usize = 24;

impl Partition {
    /// The commercial one, which stores that are not AWS's call themselves by, too.
    #[must_use]
    pub fn aws() -> Self {
        Self("aws".to_owned())
    }

    /// As it is written in an ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `aws` and, for all others, what follows `aws-`. New ones come, so none is listed here; the name
    /// is taken from the ARN of a role that exists.
    fn parse(unverified: &str) -> Option<Self> {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        let mut words = unverified.split('-');
        let is_one =
            unverified.len() <= MAX_PARTITION_CHARS && words.next() == Some("aws") && words.all(is_word);
        is_one.then(|| Self(unverified.to_owned()))
    }
}

impl Default for Partition {
    fn default() -> Self {
        Self::aws()
    }
}

impl KmsKeyArn {
    /// As a policy names it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition that the key is in.
    #[must_use]
    pub const fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The region that the key, and with it the bucket, is in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}

impl FromStr for KmsKeyArn {
    type Err = InvalidKmsKey;

    fn from_str(unverified: &str) -> Result<Self, InvalidKmsKey> {
        let invalid = || InvalidKmsKey(unverified.chars().take(120).collect());
        let parts: Vec<&str> = unverified.splitn(6, ':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts[..] else { return Err(invalid()) };
        let id = resource.strip_prefix("key/").unwrap_or_default();
        let is_plain = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !is_account || !is_plain(region, MAX_REGION_CHARS) || !is_plain(id, MAX_KEY_ID_CHARS) {
            return Err(invalid());
        }
        let partition = Partition::parse(partition).ok_or_else(invalid)?;
        Ok(Self { text: unverified.to_owned(), partition, region: region.to_owned() })
    }
}

impl<'de> Deserialize<'de> for KmsKeyArn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl RoleArn {
    /// As STS takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition that the role, and with it every resource of its sessions, is in.
    #[must_use]
    pub const fn partition(&self) -> &Partition {
        &self.partition
    }
}

impl FromStr for RoleArn {
    type Err = InvalidRole;

    fn from_str(unverified: &str) -> Result<Self, InvalidRole> {
        let invalid = || InvalidRole(unverified.chars().take(120).collect());
        let parts: Vec<&str> = unverified.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else { return Err(invalid()) };
        let name = resource.strip_prefix("role/").unwrap_or_default();
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b))
            && name.split('/').all(|segment| !segment.is_empty());
        if !is_account || !is_name || unverified.len() > MAX_ARN_CHARS {
            return Err(invalid());
        }
        let partition = Partition::parse(partition).ok_or_else(invalid)?;
        Ok(Self { text: unverified.to_owned(), partition })
    }
}

impl<'de> Deserialize<'de> for RoleArn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_the_roles() {
        for partition in
            ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"]
        {
            let text = format!("arn:{partition}:iam::123456789012:role/trace/task");
            let role: RoleArn = text.parse().unwrap();
            assert_eq!((role.partition().as_str(), role.as_str()), (partition, text.as_str()));
        }
    }

    #[test]
    fn a_key_is_named_by_its_own_arn() {
        let text = "arn:aws-cn:kms:cn-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let key: KmsKeyArn = text.parse().unwrap();
        assert_eq!((key.as_str(), key.partition().as_str(), key.region()), (text, "aws-cn", "cn-north-1"));
        for bad in [
            "",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:eu-west-1:123456789012:alias/trace",
            "arn:aws:kms:eu-west-1:123456789012:key/",
            "arn:aws:kms:eu-west-1:123456789012:key/*",
            "arn:aws:kms:*:123456789012:key/a",
            "arn:aws:kms::123456789012:key/a",
            "arn:aws:kms:eu-west-1:*:key/a",
            "arn:*:kms:eu-west-1:123456789012:key/a",
            "arn:aws:s3:eu-west-1:123456789012:key/a",
            "arn:aws:kms:eu-west-1:123456789012:key/a\"",
            "arn:aws:kms:eu-west-1:123456789012:key/${x}",
        ] {
            assert!(bad.parse::<KmsKeyArn>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn what_is_not_a_role_is_refused() {
        for bad in [
            "",
            "trace",
            "arn:aws:iam::123456789012:user/trace",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a//b",
            "arn:aws:iam::123456789012:role/a*",
            "arn:aws:iam::12345:role/trace",
            "arn:aws:iam:us-east-1:123456789012:role/trace",
            "arn:aws:sts::123456789012:assumed-role/trace/a40",
            "arn:*:iam::123456789012:role/trace",
            "arn::iam::123456789012:role/trace",
            "arn:azure:iam::123456789012:role/trace",
            "arn:aws-:iam::123456789012:role/trace",
            "arn:AWS:iam::123456789012:role/trace",
        ] {
            assert!(bad.parse::<RoleArn>().is_err(), "{bad:?} must be refused");
        }
    }
}
