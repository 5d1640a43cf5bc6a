//! What AWS would say to a session policy: an evaluator written from IAM's reference, as a second
//! opinion beside the stores that run here.
//!
//! It knows what session policies for S3 use, and panics at anything else, so that a policy can't pass
//! by being misunderstood. Actions are compared without case, everything else with; `*` and `?` are
//! wildcards in actions and resources; `${*}`, `${?}` and `${$}` are those characters, in conditions too.

use std::collections::BTreeMap;

use serde_json::Value;

/// One thing that somebody wants to do.
#[derive(Debug, Clone)]
pub struct Question {
    pub action: &'static str,
    /// An ARN.
    pub resource: String,
    /// Condition keys, such as `s3:prefix`.
    pub context: BTreeMap<&'static str, String>,
}

/// What STS checks before it packs a policy.
pub fn assert_accepted_by_sts(document: &str) {
    assert!(document.chars().count() <= 2048, "too long: {document}");
    let is_known = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
    assert!(document.chars().all(is_known), "a character that STS refuses: {document}");
}

/// Whether the policy allows it: some statement allows and none denies.
pub fn allows(policy: &Value, question: &Question) -> bool {
    only(policy, &["Version", "Statement"]);
    assert_eq!(policy["Version"], "2012-10-17", "in the older version `${{*}}` is no variable");
    let (mut allowed, mut denied) = (false, false);
    for statement in list(&policy["Statement"]) {
        only(statement, &["Effect", "Action", "Resource", "Condition"]);
        if applies(statement, question) {
            match text(&statement["Effect"]) {
                "Allow" => allowed = true,
                "Deny" => denied = true,
                other => panic!("an effect `{other}`"),
            }
        }
    }
    allowed && !denied
}

fn applies(statement: &Value, question: &Question) -> bool {
    let action = list(&statement["Action"])
        .iter()
        .any(|action| matches(&text(action).to_lowercase(), &question.action.to_lowercase()));
    let resource = list(&statement["Resource"]).iter().any(|arn| matches(text(arn), &question.resource));
    let no_conditions = serde_json::Map::new();
    let conditions = statement.get("Condition").map_or(&no_conditions, |all| all.as_object().unwrap());
    action && resource && conditions.iter().all(|(operator, keys)| holds(operator, keys, question))
}

/// All keys of an operator must hold, and of one key's values any. A key that the request lacks does not.
fn holds(operator: &str, keys: &Value, question: &Question) -> bool {
    assert!(matches!(operator, "StringEquals" | "StringLike"), "an operator `{operator}`");
    keys.as_object().unwrap().iter().all(|(key, values)| {
        let actual = question.context.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        actual.is_some_and(|(_, actual)| {
            list(values).iter().any(|value| match operator {
                "StringLike" => matches(text(value), actual),
                _ => literal(text(value)) == *actual,
            })
        })
    })
}

/// A piece of a pattern.
enum Piece {
    Exactly(char),
    One,
    Any,
}

fn matches(pattern: &str, actual: &str) -> bool {
    let pieces = pieces(pattern);
    let actual: Vec<char> = actual.chars().collect();
    // Which beginnings of the text the pieces so far can cover.
    let mut covered = vec![false; actual.len() + 1];
    covered[0] = true;
    for piece in &pieces {
        let mut next = vec![false; actual.len() + 1];
        for at in 0..=actual.len() {
            next[at] = match piece {
                Piece::Any => covered[..=at].contains(&true),
                Piece::One => at > 0 && covered[at - 1],
                Piece::Exactly(c) => at > 0 && covered[at - 1] && actual[at - 1] == *c,
            };
        }
        if !next.contains(&true) {
            return false;
        }
        covered = next;
    }
    covered[actual.len()]
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at..].starts_with(&['$', '{']) {
            pieces.push(Piece::Exactly(variable(&chars[at..])));
            at += 4;
            continue;
        }
        pieces.push(match chars[at] {
            '*' => Piece::Any,
            '?' => Piece::One,
            other => Piece::Exactly(other),
        });
        at += 1;
    }
    pieces
}

/// A text under an operator that takes no wildcards. Variables count there, too.
fn literal(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut literal, mut at) = (String::new(), 0);
    while at < chars.len() {
        let is_variable = chars[at..].starts_with(&['$', '{']);
        literal.push(if is_variable { variable(&chars[at..]) } else { chars[at] });
        at += if is_variable { 4 } else { 1 };
    }
    literal
}

fn variable(chars: &[char]) -> char {
    match chars {
        ['$', '{', c @ ('*' | '?' | '$'), '}', ..] => *c,
        other => panic!("a variable that session policies do not use: {}", other.iter().collect::<String>()),
    }
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(several) => several,
        one => std::slice::from_ref(one),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn only(object: &Value, known: &[&str]) {
    for element in object.as_object().unwrap().keys() {
        assert!(known.contains(&element.as_str()), "an element `{element}`");
    }
}

#[test]
fn the_evaluator_reads_patterns_as_iam_does() {
    for (pattern, actual, expected) in [
        ("arn:aws:s3:::t/in/*", "arn:aws:s3:::t/in/a/b", true),
        ("arn:aws:s3:::t/in/*", "arn:aws:s3:::t/IN/a", false),
        ("arn:aws:s3:::t/in/*", "arn:aws:s3:::t/in10/a", false),
        ("arn:aws:s3:::t/in?/*", "arn:aws:s3:::t/in1/", true),
        ("arn:aws:s3:::t/a${*}b/*", "arn:aws:s3:::t/a*b/x", true),
        ("arn:aws:s3:::t/a${*}b/*", "arn:aws:s3:::t/axb/x", false),
        ("arn:aws:s3:::t/a${$}{b}/*", "arn:aws:s3:::t/a${b}/x", true),
        ("a$b", "a$b", true),
    ] {
        assert_eq!(matches(pattern, actual), expected, "{pattern} against {actual}");
    }
    assert_eq!(literal("a${*}*${?}?"), "a**??");
}
