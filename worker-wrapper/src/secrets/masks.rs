//! What of a secret is looked for in what its operator prints.

use serde_json::Value;
use trace_contracts::Secret;

/// The spellings in which a secret appears by accident: the whole; each of its lines, because logs have lines; what is
/// in it where it is JSON, as secrets of databases are; and each of these as JSON writes it, which is how messages quote
/// texts. Code that means to show its secret can spell it backwards: the operator is trusted not to.
#[must_use]
pub fn masks(secret: &Secret<String>) -> Vec<Secret<String>> {
    let mut found = vec![secret.expose().clone()];
    found.extend(secret.expose().lines().map(|line| line.trim().to_owned()));
    if let Ok(document) = serde_json::from_str::<Value>(secret.expose()) {
        collect(&document, &mut found);
    }
    let quoted: Vec<String> = found.iter().map(|text| quoted(text)).collect();
    found.extend(quoted);
    found.sort();
    found.dedup();
    found.into_iter().map(Secret::new).collect()
}

fn collect(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// As JSON writes it, without the quotes around it.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Masker;

    fn masked(secret: &str, printed: &str) -> String {
        let masker = Masker::new(masks(&Secret::new(secret.to_owned())));
        String::from_utf8(masker.mask(printed.as_bytes()).0).unwrap()
    }

    #[test]
    fn a_secret_is_masked_in_every_spelling_that_comes_by_accident() {
        let pem = "-----BEGIN KEY-----\nMIGHAgEAMBMG\n-----END KEY-----\n";
        let json =
            r#"{"host": "db", "password": "correct\"horse\\battery", "nested": [{"key": "staple-staple"}]}"#;
        for (secret, printed, expected) in [
            ("correct-horse", "password=correct-horse!", "password=[masked]!"),
            (pem, "MIGHAgEAMBMG", "[masked]"),
            (json, r#"for user "x" with correct"horse\battery"#, r#"for user "x" with [masked]"#),
            (json, r#"config {"password":"correct\"horse\\battery"}"#, r#"config {"password":"[masked]"}"#),
            (json, "staple-staple", "[masked]"),
            (json, "the host is db", "the host is db"),
            ("tab\tand \"quotes\"", r#"error: "tab\tand \"quotes\"""#, r#"error: "[masked]""#),
        ] {
            assert_eq!(masked(secret, printed), expected);
        }
    }
}
