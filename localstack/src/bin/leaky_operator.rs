//! A built-in operator that says its secret wherever it can, as a mistaken one would: in lines, in quotes, across the
//! end of what is kept of a line, and in the words that it fails with. Only the test of secrets runs it, in the
//! place of `trace-operator`.

#![expect(clippy::disallowed_methods, reason = "a secret is read from the environment")]

use std::{env, process::ExitCode};

/// What is kept of a line of a log.
const LINE_BYTES: usize = 8 * 1024;

fn main() -> ExitCode {
    let Ok(secret) = env::var("TRACE_SECRET_WAREHOUSE") else {
        eprintln!("there is no secret");
        return ExitCode::FAILURE;
    };
    let parsed: serde_json::Value = serde_json::from_str(&secret).unwrap_or_default();
    let part = |name: &str| parsed[name].as_str().unwrap_or_default();
    // What was given, in a spelling that nothing masks: backwards.
    println!("backwards: {}", part("password").chars().rev().collect::<String>());
    println!("not a secret: positive-control-value");
    println!("all of it: {secret}");
    println!("quoted: {secret:?}");
    println!("parts: {}, {}, {:?}", part("password"), part("token"), part("token"));
    println!("{}{}", "x".repeat(LINE_BYTES - 5), part("password"));
    for (name, value) in env::vars().filter(|(name, _)| name.starts_with("TRACE_SECRET_")) {
        println!("{name}={value}");
    }
    eprintln!("{secret}");
    eprintln!("positive-control-error: can't log in with {} or {}", part("password"), part("token"));
    ExitCode::from(3)
}
