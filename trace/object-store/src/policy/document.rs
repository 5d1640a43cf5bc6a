//! The JSON of a session policy, as STS takes it. Every element is named here: one that is not makes
//! the document invalid, because skipping what narrows a policy would widen it.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Document {
    pub version: String,
    #[serde(rename = "Id", default)]
    pub _id: Option<String>,
    pub statement: OneOrMany<Statement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Statement {
    #[serde(rename = "Sid", default)]
    pub _sid: Option<String>,
    pub effect: Effect,
    pub action: OneOrMany<String>,
    pub resource: OneOrMany<String>,
    #[serde(default)]
    pub condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// All operators must hold.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Condition {
    #[serde(rename = "StringEquals", default)]
    pub equals: Keys,
    #[serde(rename = "StringLike", default)]
    pub like: Keys,
}

/// All keys must hold; of one key's values, any.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    #[serde(rename = "s3:prefix", default)]
    pub prefix: Option<OneOrMany<String>>,
    #[serde(rename = "s3:delimiter", default)]
    pub delimiter: Option<OneOrMany<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}
