//! YAML text into a tree that knows where everything stands.
//!
//! The tree exists so that every mistake in a file can be reported in one go: a typed
//! deserializer stops at the first. Budgets bound what any text can cost, however it is written.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    DuplicateKeyPolicy, Options, Spanned, UserMessageFormatter, budget::BudgetBreach,
    options::NonFiniteFloatPolicy,
};
use trace_contracts::{FieldError, wire::limit};

/// Deeper than any DAG is, and shallow enough for any stack.
const MAX_DEPTH: usize = 32;
/// Values in the file, and values that aliases may add.
const MAX_NODES: usize = 500_000;
/// Aliases and anchors that one file may use.
const MAX_ALIASES: usize = 1_000;

/// A place in the file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it starts; for an alias, where the alias is.
    pub at: At,
    /// The value.
    pub value: Value,
}

/// What YAML's core schema makes of a value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number; finite.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the file's order. A key may be there twice: readers say so.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key, which must be a text to mean anything.
    pub key: Node,
    /// The value.
    pub value: Node,
}

impl Value {
    /// What it is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads one document.
///
/// # Errors
/// Says at which line the text stops being YAML, or which bound it breaks.
pub fn read(unverified_yaml: &str) -> Result<Node, FieldError> {
    if unverified_yaml.len() > limit::DAG_YAML_BYTES {
        return Err(too_large(unverified_yaml.len()));
    }
    if unverified_yaml.contains('\0') {
        return Err(FieldError {
            line: None,
            column: None,
            field: String::new(),
            message: "the file holds a NUL character: save it as UTF-8 text".to_owned(),
        });
    }
    let spanned: Spanned<Raw> =
        serde_saphyr::from_str_with_options(unverified_yaml, options()).map_err(|error| explain(&error))?;
    Ok(spanned.into())
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            max_recorded_anchor_events: MAX_NODES,
            max_recorded_anchor_bytes: 4 * limit::DAG_YAML_BYTES,
            max_total_scalar_bytes: 2 * limit::DAG_YAML_BYTES,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: MAX_DEPTH,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    }
}

fn too_large(bytes: usize) -> FieldError {
    FieldError {
        line: None,
        column: None,
        field: String::new(),
        message: format!(
            "the file has {bytes} bytes; a DAG has at most {}: split it, or move data into `files`",
            limit::DAG_YAML_BYTES
        ),
    }
}

/// The parser's errors in the words of a DAG's author.
fn explain(error: &serde_saphyr::Error) -> FieldError {
    let inner = error.without_snippet();
    let at = error.location();
    FieldError {
        line: at.map(|at| at.line()),
        column: at.map(|at| at.column()),
        field: String::new(),
        message: message(inner),
    }
}

fn message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as E;
    match error {
        E::Budget { breach, .. } => breached(breach),
        E::AliasReplayLimitExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayCounterOverflow { .. }
        | E::AliasReplayStackDepthExceeded { .. } => {
            format!("the aliases stand for more than {MAX_NODES} values: write them out, or use fewer")
        }
        E::RecursiveReferencesRequireWeakTypes { .. } => "this alias contains itself".to_owned(),
        E::UnknownAnchor { .. } => "this alias names an anchor that is not defined before it".to_owned(),
        E::MultipleDocuments { .. } => "a file holds one DAG: remove the `---` and what follows".to_owned(),
        E::NonFiniteFloat { .. } => "a number must be finite".to_owned(),
        E::UnsupportedTag { .. } => "tags such as `!name` mean nothing in a DAG: remove it".to_owned(),
        E::AliasError { error, .. } => message(error),
        other => plain(other),
    }
}

fn breached(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => too_deep(),
        BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } | BudgetBreach::MergeKeys { .. } => {
            format!("more than {MAX_ALIASES} anchors or aliases")
        }
        BudgetBreach::Documents { .. } => {
            "a file holds one DAG: remove the `---` and what follows".to_owned()
        }
        _ => format!("more than {MAX_NODES} values, or aliases that repeat too much"),
    }
}

fn too_deep() -> String {
    format!("nested deeper than {MAX_DEPTH} levels")
}

/// The parser's own words without the place, which is told apart.
fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let text = text.split(" at line ").next().unwrap_or(&text);
    if text.contains("recursion limit") {
        return too_deep();
    }
    let short: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    format!("this is not YAML: {short}")
}

/// A value as the parser hands it over, before its place is known.
enum Raw {
    Leaf(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl From<Spanned<Raw>> for Node {
    fn from(spanned: Spanned<Raw>) -> Self {
        let at = At { line: spanned.referenced.line().max(1), column: spanned.referenced.column().max(1) };
        let value = match spanned.value {
            Raw::Leaf(value) => value,
            Raw::List(items) => Value::List(items.into_iter().map(Self::from).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry { key: key.into(), value: value.into() })
                    .collect(),
            ),
        };
        Self { at, value }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Int(value)))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Raw, E> {
        i64::try_from(value)
            .map(|value| Raw::Leaf(Value::Int(value)))
            .map_err(|_| E::custom("a whole number must fit into 64 bits with a sign"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Text(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
            if map.len() > MAX_NODES {
                return Err(A::Error::custom("too many keys"));
            }
        }
        Ok(Raw::Map(map))
    }
}
