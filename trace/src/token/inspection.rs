//! A token as people and programs are shown it.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use trace_contracts::{Grants, InputGrant};

use super::{Unverified, Verdict, Verification};
use crate::output::text::{moment, printable, span};

/// Everything that can be said of a token.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// `capability`, `user` or `unknown`, by its header.
    pub kind: &'static str,
    /// Whether the platform stands behind it.
    pub verification: Verification,
    /// The id of its key.
    pub kid: Option<String>,
    /// Seconds until it ends; negative once it has.
    pub remaining_seconds: Option<i64>,
    /// Its claims, as they are.
    pub claims: Map<String, Value>,
}

impl Inspection {
    /// Puts together what is known.
    #[must_use]
    pub fn new(unverified: Unverified, verification: Verification) -> Self {
        let remaining = moment_of(&unverified.claims, "exp").map(|end| (end - Utc::now()).num_seconds());
        Self {
            kind: unverified.kind(),
            verification,
            kid: unverified.header.kid,
            remaining_seconds: remaining,
            claims: unverified.claims,
        }
    }

    fn validity(&self) -> String {
        let Some(end) = moment_of(&self.claims, "exp") else { return "without an end".to_owned() };
        match self.remaining_seconds.unwrap_or(0) {
            left if left >= 0 => {
                format!("until {} UTC, for another {}", moment(end), span(TimeDelta::seconds(left)))
            }
            left => format!("until {} UTC: expired {} ago", moment(end), span(TimeDelta::seconds(-left))),
        }
    }

    fn grants(&self) -> Option<Grants> {
        serde_json::from_value(self.claims.get("grants")?.clone()).ok()
    }
}

fn moment_of(claims: &Map<String, Value>, claim: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(claims.get(claim)?.as_i64()?, 0)
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verification.verdict {
            Verdict::Verified => "verified",
            Verdict::NotGood => "NOT GOOD",
            Verdict::NotVerified => "not verified",
        };
        writeln!(f, "{} token, {verdict}: {}", self.kind, printable(&self.verification.detail))?;
        writeln!(f, "  key       {}", printable(self.kid.as_deref().unwrap_or("-")))?;
        for (label, claim) in CLAIMS {
            if let Some(value) = self.claims.get(*claim) {
                writeln!(f, "  {label:<9} {}", printable(&plain(value)))?;
            }
        }
        write!(f, "  valid     {}", self.validity())?;
        self.grants().map_or(Ok(()), |grants| write_grants(f, &grants))
    }
}

/// What is shown of the claims, besides times and grants.
const CLAIMS: &[(&str, &str)] = &[
    ("issuer", "iss"),
    ("audience", "aud"),
    ("subject", "sub"),
    ("attempt", "attempt"),
    ("org", "org"),
    ("org", "custom:org_id"),
    ("role", "custom:role"),
    ("mail", "email"),
    ("id", "jti"),
];

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn write_grants(f: &mut fmt::Formatter<'_>, grants: &Grants) -> fmt::Result {
    write!(f, "\n  may read  ")?;
    if grants.inputs.is_empty() {
        write!(f, "nothing")?;
    }
    let mut separator = "";
    for (name, input) in &grants.inputs {
        write!(f, "{separator}{name}: {}", described(input))?;
        separator = "\n            ";
    }
    write!(f, "\n  may write {}\n  scratch   {}", grants.output, grants.scratch)?;
    match grants.egress.as_slice() {
        [] => write!(f, "\n  network   nothing"),
        granted => {
            let granted: Vec<_> = granted.iter().map(|grant| grant.destination.to_string()).collect();
            write!(f, "\n  network   {}", granted.join(", "))
        }
    }
}

fn described(input: &InputGrant) -> String {
    let mut words = vec![format!("{} at {}", input.dataset, input.version)];
    words.extend(input.partition.as_ref().map(|partition| format!("partition {partition}")));
    words.extend(input.columns.as_ref().map(|columns| format!("columns {}", columns.join(", "))));
    words.extend(input.row_filter.as_ref().map(|filter| {
        let json = serde_json::to_string(filter).unwrap_or_default();
        format!("rows where {json}")
    }));
    printable(&words.join(", ")).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trace_contracts::token::CAPABILITY_TYPE;

    use super::{super::tests::token, *};

    #[test]
    fn a_capability_shows_its_grants_and_that_nothing_is_proven() {
        let claims = json!({
            "iss": "trace", "aud": "trace:dispatcher", "sub": "t17.3", "attempt": "a40", "org": "o1",
            "jti": "0190d3f5-7a5e-7000-8000-000000000000", "iat": 1_767_225_600, "nbf": 1_767_225_600,
            "exp": 1_767_226_200,
            "grants": {
                "inputs": {
                    "flights": {"dataset": "d1", "version": "dv16.0", "manifest": "0".repeat(64), "partition": "2013-01"},
                    "weather": {"dataset": "d3", "version": "dv9.2", "manifest": "1".repeat(64),
                                "columns": ["hour", "temp"], "row_filter": {"station": "JFK"}},
                },
                "output": "s3://trace/data/o1/r1/t17.3/a40/out/",
                "scratch": "s3://trace/data/o1/r1/t17.3/a40/scratch/",
            },
        });
        let header = json!({"typ": CAPABILITY_TYPE, "alg": "ES256", "kid": "k\u{1b}1"});
        let unverified = Unverified::decode(&token(&header, &claims)).unwrap();
        let mut inspection =
            Inspection::new(unverified, Verification::not_verified("no platform".to_owned()));
        inspection.remaining_seconds = Some(-65);
        insta::assert_snapshot!(inspection.to_string());
    }
}
