//! Session policies: the same JSON that STS would get, evaluated here.
//!
//! Deny wins, and what nothing allows is denied. A document with an element that this evaluator does
//! not know is no policy at all.

mod document;
mod pattern;

pub use pattern::{Pattern, UnknownVariable};

use document::{Document, Effect, OneOrMany};

/// STS takes session policies of at most this many characters.
pub const MAX_CHARS: usize = 2048;

const VERSION: &str = "2012-10-17";
const ARN: &str = "arn:aws:s3:::";

/// Why a document is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Larger than STS accepts.
    #[error(
        "a session policy has at most {MAX_CHARS} characters, this one has {0}: pack fewer prefixes into it"
    )]
    TooLong(usize),
    /// Not JSON, or an element that is missing, repeated or unknown.
    #[error("the session policy can't be read: {0}")]
    Document(String),
    /// Another version, in which `${*}` means something else.
    #[error("a session policy has the Version `{VERSION}`, not `{0}`")]
    Version(String),
    /// An empty list, which for a `Deny` would silently deny nothing.
    #[error("`{0}` lists nothing")]
    Empty(&'static str),
    /// An action of another service, or not an action.
    #[error("`{0}` is not an action of S3, such as `s3:GetObject`")]
    Action(String),
    /// A resource that is not in S3.
    #[error("`{0}` is not a resource of S3, such as `{ARN}bucket/dir/*`")]
    Resource(String),
    /// A variable.
    #[error(transparent)]
    Variable(#[from] UnknownVariable),
}

/// One question to a policy.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Such as `s3:GetObject`.
    pub action: &'a str,
    /// `bucket` or `bucket/key`; empty for what concerns no bucket.
    pub resource: &'a str,
    /// The value of `s3:prefix`, where the request has one.
    pub prefix: Option<&'a str>,
    /// The value of `s3:delimiter`, where the request has one.
    pub delimiter: Option<&'a str>,
}

/// Why a policy does not allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A statement denies it.
    #[error("a statement of the session policy denies it")]
    Explicitly,
    /// No statement allows it.
    #[error("the session policy does not allow it")]
    ByDefault,
}

/// A parsed session policy.
#[derive(Debug, Clone)]
pub struct Policy(Vec<Statement>);

#[derive(Debug, Clone)]
struct Statement {
    effect: Effect,
    actions: Vec<Pattern>,
    resources: Vec<Pattern>,
    conditions: Vec<Condition>,
}

/// One key of one operator: any of the values must match.
#[derive(Debug, Clone)]
struct Condition {
    key: Key,
    values: Vec<Pattern>,
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Prefix,
    Delimiter,
}

impl Policy {
    /// Parses a policy.
    ///
    /// # Errors
    /// On anything that this evaluator does not understand completely.
    pub fn parse(unverified_json: &str) -> Result<Self, Error> {
        let chars = unverified_json.chars().count();
        if chars > MAX_CHARS {
            return Err(Error::TooLong(chars));
        }
        let document: Document =
            serde_json::from_str(unverified_json).map_err(|error| Error::Document(error.to_string()))?;
        if document.version != VERSION {
            return Err(Error::Version(document.version.chars().take(20).collect()));
        }
        all("Statement", &document.statement, Statement::parse).map(Self)
    }

    /// Decides one question.
    ///
    /// # Errors
    /// When a statement denies it, or none allows it.
    pub fn decide(&self, question: &Question<'_>) -> Result<(), Denied> {
        let mut verdict = Err(Denied::ByDefault);
        for statement in self.0.iter().filter(|statement| statement.applies(question)) {
            match statement.effect {
                Effect::Deny => return Err(Denied::Explicitly),
                Effect::Allow => verdict = Ok(()),
            }
        }
        verdict
    }
}

impl Statement {
    fn parse(document: &document::Statement) -> Result<Self, Error> {
        let mut conditions = Vec::new();
        add_conditions(&mut conditions, &document.condition.equals, Pattern::exact)?;
        add_conditions(&mut conditions, &document.condition.like, Pattern::with_wildcards)?;
        Ok(Self {
            effect: document.effect,
            actions: all("Action", &document.action, |text| action(text))?,
            resources: all("Resource", &document.resource, |text| resource(text))?,
            conditions,
        })
    }

    fn applies(&self, question: &Question<'_>) -> bool {
        let action = question.action.to_ascii_lowercase();
        let resource = format!("{ARN}{}", question.resource);
        self.actions.iter().any(|pattern| pattern.matches(&action))
            && self.resources.iter().any(|pattern| pattern.matches(&resource))
            && self.conditions.iter().all(|condition| condition.holds(question))
    }
}

impl Condition {
    /// A key that the request does not have makes the condition false, as in IAM.
    fn holds(&self, question: &Question<'_>) -> bool {
        let value = match self.key {
            Key::Prefix => question.prefix,
            Key::Delimiter => question.delimiter,
        };
        value.is_some_and(|value| self.values.iter().any(|pattern| pattern.matches(value)))
    }
}

fn add_conditions(
    conditions: &mut Vec<Condition>,
    keys: &document::Keys,
    parse: fn(&str) -> Result<Pattern, UnknownVariable>,
) -> Result<(), Error> {
    for (key, values) in [(Key::Prefix, &keys.prefix), (Key::Delimiter, &keys.delimiter)] {
        if let Some(values) = values {
            let values = all("Condition", values, |text| Ok(parse(text)?))?;
            conditions.push(Condition { key, values });
        }
    }
    Ok(())
}

/// Actions are case-insensitive in IAM: patterns and questions are compared in lower case.
fn action(unverified: &str) -> Result<Pattern, Error> {
    let lower = unverified.to_ascii_lowercase();
    let name = lower.strip_prefix("s3:").filter(|name| !name.is_empty());
    let is_action =
        name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b"*?".contains(&b)));
    if !is_action {
        return Err(Error::Action(unverified.chars().take(80).collect()));
    }
    Ok(Pattern::with_wildcards(&lower)?)
}

fn resource(unverified: &str) -> Result<Pattern, Error> {
    if !unverified.starts_with(ARN) || unverified.len() == ARN.len() {
        return Err(Error::Resource(unverified.chars().take(120).collect()));
    }
    Ok(Pattern::with_wildcards(unverified)?)
}

fn all<T, U>(
    element: &'static str,
    documents: &OneOrMany<T>,
    parse: impl Fn(&T) -> Result<U, Error>,
) -> Result<Vec<U>, Error> {
    match documents.as_slice() {
        [] => Err(Error::Empty(element)),
        some => some.iter().map(parse).collect(),
    }
}

#[cfg(test)]
mod tests;
