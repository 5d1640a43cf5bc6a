//! Tokens that must not be believed, and the one that must.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use trace_contracts::{Audience, Capability, UserIdentity, keys::KeySet, token::Error};

const ISSUER: &str = "https://trace.test";

/// What is off, how to make it so, and what is said of it.
type Case<T> = (&'static str, Box<dyn FnOnce(&mut T)>, Error);

struct Issuer {
    key: EncodingKey,
    public: Vec<u8>,
}

impl Issuer {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        Self { key: EncodingKey::from_ec_der(pkcs8.as_ref()), public: pair.public_key().as_ref().to_vec() }
    }

    fn jwk(&self, kid: &str) -> Value {
        let (x, y) = self.public[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
               "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    fn keys(&self) -> KeySet {
        KeySet::from_jwks(&json!({"keys": [self.jwk("k1")]}).to_string()).unwrap()
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }

    fn capability(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims();
        change(&mut claims);
        self.sign(&header(), &claims)
    }
}

fn header() -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("k1".to_owned());
    header.typ = Some("trace-cap+jwt".to_owned());
    header
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "trace:query", "sub": "t17.3", "attempt": "a40", "org": "o1",
        "jti": "6f8b8a0e-3a0e-4d3a-9f4c-0d9f2f8f2a11",
        "iat": now(), "nbf": now(), "exp": now() + 300,
        "grants": {
            "inputs": {}, "output": "s3://trace/data/o1/r1/t17.3/a40/out/",
            "scratch": "s3://trace/data/o1/r1/t17.3/a40/scratch/",
        },
    })
}

fn verify(issuer: &Issuer, token: &str) -> Result<Capability, Error> {
    Capability::verify(token, &issuer.keys(), ISSUER, Audience::Query)
}

#[test]
fn a_good_token_is_believed() {
    let issuer = Issuer::new();
    let capability = verify(&issuer, &issuer.capability(|_| ())).unwrap();
    assert_eq!(capability.attempt().to_string(), "a40");
    assert_eq!(capability.grants().output.key_prefix(), "data/o1/r1/t17.3/a40/out/");
}

#[test]
fn claims_that_are_off_are_refused() {
    let issuer = Issuer::new();
    let table: [Case<Value>; 12] = [
        ("expired", Box::new(|c| c["exp"] = json!(now() - 6)), Error::Expired),
        ("not yet", Box::new(|c| c["nbf"] = json!(now() + 60)), Error::Immature),
        ("other audience", Box::new(|c| c["aud"] = json!("trace:dispatcher")), Error::Audience),
        ("other issuer", Box::new(|c| c["iss"] = json!("https://evil.test")), Error::Issuer),
        (
            "audience as a list",
            Box::new(|c| c["aud"] = json!(["trace:query", "trace:egress"])),
            Error::Claims,
        ),
        ("no expiry", Box::new(|c| drop(c.as_object_mut().unwrap().remove("exp"))), Error::Claims),
        ("expiry as text", Box::new(|c| c["exp"] = json!("9999999999")), Error::Claims),
        ("no subject", Box::new(|c| drop(c.as_object_mut().unwrap().remove("sub"))), Error::Claims),
        ("subject of another kind", Box::new(|c| c["sub"] = json!("a12")), Error::Claims),
        ("unknown claim", Box::new(|c| c["admin"] = json!(true)), Error::Claims),
        ("wide prefix", Box::new(|c| c["grants"]["output"] = json!("s3://trace/")), Error::Claims),
        ("unknown grant", Box::new(|c| c["grants"]["everything"] = json!(true)), Error::Claims),
    ];
    for (name, change, expected) in table {
        let error = verify(&issuer, &issuer.capability(change)).unwrap_err();
        assert_eq!(error, expected, "{name}");
    }
}

#[test]
fn headers_that_are_off_are_refused() {
    let issuer = Issuer::new();
    let table: [Case<Header>; 7] = [
        ("no key id", Box::new(|h| h.kid = None), Error::Malformed),
        ("unknown key id", Box::new(|h| h.kid = Some("k2".into())), Error::UnknownKey),
        ("path as key id", Box::new(|h| h.kid = Some("../../k1".into())), Error::UnknownKey),
        ("another type", Box::new(|h| h.typ = Some("JWT".into())), Error::Malformed),
        ("no type", Box::new(|h| h.typ = None), Error::Malformed),
        (
            "keys from elsewhere",
            Box::new(|h| h.jku = Some("https://evil.test/jwks".into())),
            Error::Malformed,
        ),
        ("critical extension", Box::new(|h| h.crit = Some(vec!["b64".into()])), Error::Malformed),
    ];
    for (name, change, expected) in table {
        let mut header = header();
        change(&mut header);
        assert_eq!(verify(&issuer, &issuer.sign(&header, &claims())).unwrap_err(), expected, "{name}");
    }
}

/// A token with this header and the given signature over nothing in particular.
fn forged(header: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(&claims()), URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn other_algorithms_are_refused_before_a_key_is_touched() {
    let issuer = Issuer::new();
    let typ = "trace-cap+jwt";
    for alg in ["none", "None", "HS256", "HS512", "RS256", "PS256", "ES384", "EdDSA", ""] {
        let token = forged(&json!({"alg": alg, "typ": typ, "kid": "k1"}), b"");
        assert_eq!(verify(&issuer, &token).unwrap_err(), Error::Malformed, "{alg}");
    }
    // The public key as an HMAC secret: the classic confusion.
    let mut header = header();
    header.alg = Algorithm::HS256;
    let confused =
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&issuer.public)).unwrap();
    assert_eq!(verify(&issuer, &confused).unwrap_err(), Error::Malformed);
}

#[test]
fn signatures_that_are_off_are_refused() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    assert_eq!(verify(&issuer, &other.capability(|_| ())).unwrap_err(), Error::Signature);

    let token = issuer.capability(|_| ());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let claims_of_another = other.capability(|c| c["org"] = json!("o2"));
    let swapped = format!("{}.{signature}", claims_of_another.rsplit_once('.').unwrap().0);
    assert_eq!(verify(&issuer, &swapped).unwrap_err(), Error::Signature);

    for bad in [
        "",
        "AA",
        &URL_SAFE_NO_PAD.encode([0; 64]),
        &URL_SAFE_NO_PAD.encode([0xff; 64]),
        &format!("{signature}AA"),
    ] {
        assert!(verify(&issuer, &format!("{message}.{bad}")).is_err(), "{bad}");
    }
    for bad in [
        format!("{token}="),
        format!("{token}."),
        format!(" {token}"),
        token.replace('.', " ."),
        "a.b.c".into(),
        String::new(),
    ] {
        assert!(verify(&issuer, &bad).is_err(), "{bad}");
    }
    assert_eq!(verify(&issuer, &"a".repeat(20_000)).unwrap_err(), Error::Malformed);
}

#[test]
fn claims_given_twice_are_refused() {
    let issuer = Issuer::new();
    let twice = claims().to_string().replacen("{", "{\"org\":\"o2\",", 1);
    let part = URL_SAFE_NO_PAD.encode(serde_json::to_string(&header()).unwrap());
    let message = format!("{part}.{}", URL_SAFE_NO_PAD.encode(twice));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &issuer.key, Algorithm::ES256).unwrap();
    assert_eq!(verify(&issuer, &format!("{message}.{signature}")).unwrap_err(), Error::Claims);
}

#[test]
fn a_capability_is_no_user_and_a_user_no_capability() {
    let issuer = Issuer::new();
    let user_claims = json!({
        "iss": ISSUER, "aud": "trace", "sub": "ada", "custom:org_id": "main", "custom:role": "admin",
        "iat": now(), "exp": now() + 300,
    });
    let mut user_header = header();
    user_header.typ = Some("JWT".to_owned());
    let user = issuer.sign(&user_header, &user_claims);
    let keys = issuer.keys();
    assert_eq!(UserIdentity::verify(&user, &keys, ISSUER, "trace").unwrap().subject(), "ada");
    assert!(UserIdentity::verify(&issuer.capability(|_| ()), &keys, ISSUER, "trace").is_err());
    assert!(verify(&issuer, &user).is_err());
}

#[test]
fn key_sets_take_p256_keys_with_an_id_and_nothing_else() {
    let issuer = Issuer::new();
    let refused = [
        json!({"keys": []}),
        json!({"keys": [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]}),
        json!({"keys": [issuer.jwk("k1"), issuer.jwk("k1")]}),
        json!({"keys": (0..40).map(|n| issuer.jwk(&format!("k{n}"))).collect::<Vec<_>>()}),
        json!([]),
    ];
    for document in refused {
        assert!(KeySet::from_jwks(&document.to_string()).is_err(), "{document}");
    }
}
