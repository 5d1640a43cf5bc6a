//! What one attempt may do. A task has no other authority than this.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DatasetId, DatasetVersionId, EgressGrant, Name, PartitionKey, S3Prefix, Sha256};

/// The grants of one attempt, as its token carries them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// What it may read, by the name it knows the input by (the table's name in SQL).
    pub inputs: BTreeMap<Name, InputGrant>,
    /// Where it may write; unique to the attempt.
    pub output: S3Prefix,
    /// Where it may keep what dies with it; unique to the attempt.
    pub scratch: S3Prefix,
    /// Destinations it may reach through the egress gateway, each once; nothing unless declared and allowed.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::destination::read_egress_grants"
    )]
    pub egress: Vec<EgressGrant>,
    /// Bounds that planes enforce in line.
    #[serde(default)]
    pub budgets: Budgets,
}

/// One pinned input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputGrant {
    /// The dataset.
    pub dataset: DatasetId,
    /// The version it is pinned to.
    pub version: DatasetVersionId,
    /// The SHA-256 of the [`Manifest`](crate::Manifest) to read: a partition's or the whole version's.
    pub manifest: Sha256,
    /// The partition, when only one is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionKey>,
    /// The columns it may see; all when absent. Never empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The rows it may see; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_filter: Option<RowFilter>,
}

impl InputGrant {
    /// Whether the input's objects may be read as they are. An input of which some rows or columns
    /// are hidden is readable through the query service only.
    #[must_use]
    pub const fn allows_object_reads(&self) -> bool {
        self.columns.is_none() && self.row_filter.is_none()
    }
}

/// Rows where every column equals its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowFilter(pub BTreeMap<String, FilterValue>);

/// What a column is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FilterValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

/// Bounds on what an attempt may use. A bound that is absent is the plane's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Rows that one query may return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_rows: Option<u64>,
    /// Bytes that one query may return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
}
