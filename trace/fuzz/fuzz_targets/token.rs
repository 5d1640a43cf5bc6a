//! Tokens. Two kinds of input: a text as it comes from the wire, which nobody signed and must never be
//! believed; and a header and claims of any shape under a signature that holds, of which only those are
//! believed that say exactly what a token of ours says.

#![no_main]

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use arbitrary::Arbitrary;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use trace_contracts::{
    Audience,
    keys::KeySet,
    token::{CAPABILITY_TYPE, Capability, LEEWAY_SECONDS, UserIdentity},
};

const ISSUER: &str = "https://trace.fuzz";
/// Seeds of the corpus are valid until then.
const LATER: i64 = 4_000_000_000;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Wire(&'a str),
    Signed { header: &'a str, claims: &'a str },
    /// A good token with one member of its header and one of its claims replaced.
    Altered { header: (&'a str, &'a str), claims: (&'a str, &'a str) },
}

struct Signer {
    pair: EcdsaKeyPair,
    keys: KeySet,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1", "x": x, "y": y});
    let keys = KeySet::from_jwks(&json!({ "keys": [jwk] }).to_string()).unwrap();
    Signer { pair, keys }
});

impl Signer {
    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Wire(text) => {
            assert!(Capability::verify(text, &SIGNER.keys, ISSUER, Audience::Query).is_err());
            assert!(UserIdentity::verify(text, &SIGNER.keys, ISSUER, "trace").is_err());
        }
        Input::Signed { header, claims } => judge(header, claims),
        Input::Altered { header, claims } => {
            judge(&altered(good_header(), header), &altered(good_claims(), claims));
        }
    }
});

fn good_header() -> Value {
    json!({"alg": "ES256", "typ": CAPABILITY_TYPE, "kid": "k1"})
}

fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "trace:query", "sub": "t1.1", "attempt": "a7", "org": "o1",
        "jti": "018bb315-0e1d-772c-91ef-9734b5da3c1c", "iat": 1, "nbf": 1, "exp": LATER,
        "grants": {"inputs": {}, "output": "s3://trace/out/", "scratch": "s3://trace/scratch/",
            "egress": [], "budgets": {}}
    })
}

/// The object with one member more, written after the others: a duplicate where the name is there.
fn altered(object: Value, (name, value): (&str, &str)) -> String {
    let text = object.to_string();
    format!("{},{}:{value}}}", &text[..text.len() - 1], Value::from(name))
}

fn judge(header: &str, claims: &str) {
    let token = SIGNER.sign(header, claims);
    for audience in [Audience::Dispatcher, Audience::Query, Audience::Egress] {
        if Capability::verify(&token, &SIGNER.keys, ISSUER, audience).is_ok() {
            believed(header, claims, audience.as_str(), &[CAPABILITY_TYPE]);
        }
    }
    if UserIdentity::verify(&token, &SIGNER.keys, ISSUER, "trace").is_ok() {
        believed(header, claims, "trace", &["JWT", "at+jwt"]);
    }
}

/// What must hold of every token that was believed, read by another reader than the verifier's.
fn believed(header: &str, claims: &str, audience: &str, types: &[&str]) {
    let header: Value = serde_json::from_str(header).expect("a believed header is JSON");
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["kid"], "k1");
    assert!(types.iter().any(|typ| header["typ"] == *typ), "{header}");
    for forbidden in ["jku", "jwk", "x5u", "x5c", "crit"] {
        assert!(header[forbidden].is_null(), "{header}");
    }
    let text = claims;
    let claims: Value = serde_json::from_str(claims).expect("believed claims are JSON");
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], audience);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let leeway = LEEWAY_SECONDS as i64;
    assert!(claims["exp"].as_i64().expect("a whole number") >= now - leeway, "{text}");
    assert!(claims["nbf"].as_i64().is_none_or(|nbf| nbf <= now + leeway), "{text}");
}
