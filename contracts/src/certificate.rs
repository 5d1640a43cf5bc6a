//! What the root of trust says of a key that signs capabilities: "this key signs for this issuer, until then".
//!
//! A certificate is a JWS (ES256) over the key's public half. Whoever has the root's public half believes a key
//! because of it, and not because of where the key was published; see `docs/adr/0017-kms-certifies.md`.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};

use crate::{KeyId, token::LEEWAY_SECONDS};

/// The `typ` of a certificate, so that no token ever passes for one.
pub const CERTIFICATE_TYPE: &str = "trace-key+jwt";
/// A certificate is never longer.
pub const MAX_BYTES: usize = 2048;
/// A point on P-256 as a public key (RFC 5480): all but the coordinates.
const SPKI_P256: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The public half of the root of trust.
#[derive(Clone)]
pub struct Root(DecodingKey);

/// What a certificate says. Not proof of anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateClaims {
    /// Whose capabilities the key signs.
    pub iss: String,
    /// The key.
    pub sub: KeyId,
    /// Its public half: coordinates on P-256, in Base64 for addresses.
    pub x: String,
    /// The second one.
    pub y: String,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Not believed from then on, in seconds since 1970.
    pub exp: i64,
}

/// A key that the root certifies. Comes out of [`verify`](Self::verify) alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedKey(CertificateClaims);

/// Why a certificate or a root is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The public key of the root is none on P-256.
    #[error(
        "the root of trust is no public key on P-256 (PEM, `BEGIN PUBLIC KEY`): in KMS its key spec is ECC_NIST_P256"
    )]
    Root,
    /// The root has not signed this, or for another issuer, or its time is up.
    #[error("the root of trust does not certify this key: {0}")]
    Certificate(&'static str),
}

impl Root {
    /// Reads a public key as KMS gives it: DER, `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// When it is no point on P-256.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let point = der.strip_prefix(&SPKI_P256[..]).ok_or(Error::Root)?;
        let (Some(x), Some(y), 64) = (point.get(..32), point.get(32..), point.len()) else {
            return Err(Error::Root);
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        DecodingKey::from_ec_components(&x, &y).map(Self).map_err(|_| Error::Root)
    }

    /// The same as a PEM file has it.
    ///
    /// # Errors
    /// When it is no point on P-256.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----").ok_or(Error::Root)?;
        let body = body.strip_suffix("-----END PUBLIC KEY-----").ok_or(Error::Root)?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        Self::from_spki(&STANDARD.decode(body).map_err(|_| Error::Root)?)
    }
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Root")
    }
}

impl CertificateClaims {
    /// What the root signs.
    #[must_use]
    pub fn to_signing_input(&self) -> String {
        let header = format!(r#"{{"alg":"ES256","typ":"{CERTIFICATE_TYPE}"}}"#);
        // Unwrap safety: texts and numbers are JSON.
        let claims = serde_json::to_vec(self).expect("claims of texts and numbers");
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }
}

/// The certificate: what was signed, and the signature as a JWS has it.
#[must_use]
pub fn with_signature(signing_input: &str, signature: &[u8; 64]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl CertifiedKey {
    /// Believes a certificate.
    ///
    /// # Errors
    /// When the root has not signed it, or for another issuer, or its time is up.
    pub fn verify(unverified: &str, root: &Root, issuer: &str) -> Result<Self, Error> {
        let refused = |why| Err(Error::Certificate(why));
        if unverified.len() > MAX_BYTES {
            return refused("it is too long");
        }
        let Ok(header) = jsonwebtoken::decode_header(unverified) else { return refused("it is no JWS") };
        let foreign = header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some();
        let foreign = foreign || header.x5c.is_some() || header.crit.is_some() || header.kid.is_some();
        if foreign || header.alg != Algorithm::ES256 || header.typ.as_deref() != Some(CERTIFICATE_TYPE) {
            return refused("its header is not one of ours");
        }
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_aud = false;
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        match jsonwebtoken::decode::<CertificateClaims>(unverified, &root.0, &validation) {
            Ok(data) => Ok(Self(data.claims)),
            Err(error) => match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => refused("another key has signed it"),
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => refused("its time is up"),
                jsonwebtoken::errors::ErrorKind::InvalidIssuer => refused("it is for another issuer"),
                _ => refused("its claims are not those of a certificate"),
            },
        }
    }

    /// What it says.
    #[must_use]
    pub const fn claims(&self) -> &CertificateClaims {
        &self.0
    }

    pub(crate) fn decoding_key(&self) -> Option<DecodingKey> {
        DecodingKey::from_ec_components(&self.0.x, &self.0.y).ok()
    }
}

/// An ECDSA signature on P-256 as KMS gives it (DER: a sequence of two integers) in the form that a JWS has:
/// both in 32 bytes. `None` when it is none.
#[must_use]
pub fn fixed_signature(der: &[u8]) -> Option<[u8; 64]> {
    let (0x30, rest) = (*der.first()?, der.get(2..)?) else { return None };
    if usize::from(*der.get(1)?) != rest.len() {
        return None;
    }
    let mut fixed = [0; 64];
    let rest = integer(rest, fixed.first_chunk_mut()?)?;
    let rest = integer(rest, fixed.last_chunk_mut()?)?;
    rest.is_empty().then_some(fixed)
}

/// Reads one positive integer of at most 32 bytes; answers what follows it.
fn integer<'d>(der: &'d [u8], into: &mut [u8; 32]) -> Option<&'d [u8]> {
    let (0x02, length) = (*der.first()?, usize::from(*der.get(1)?)) else { return None };
    let (value, rest) = der.get(2..)?.split_at_checked(length)?;
    let value = match value {
        [] => return None,
        // A zero goes before what would be negative otherwise, and nowhere else.
        [0, next, ..] if *next >= 0x80 => &value[1..],
        [0, _, ..] => return None,
        [first, ..] if *first >= 0x80 => return None,
        _ => value,
    };
    into.get_mut(32_usize.checked_sub(value.len())?..)?.copy_from_slice(value);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
    };

    use super::*;

    const ISSUER: &str = "https://dispatcher.test";

    fn pair() -> (EcdsaKeyPair, Root) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let mut spki = SPKI_P256[..26].to_vec();
        spki.extend(pair.public_key().as_ref());
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
        assert!(Root::from_pem(&pem).is_ok());
        (pair, Root::from_spki(&spki).unwrap())
    }

    fn claims(exp: i64) -> CertificateClaims {
        let public = pair().0;
        let point = public.public_key().as_ref();
        CertificateClaims {
            iss: ISSUER.to_owned(),
            sub: "k1".parse().unwrap(),
            x: URL_SAFE_NO_PAD.encode(&point[1..33]),
            y: URL_SAFE_NO_PAD.encode(&point[33..]),
            iat: 0,
            exp,
        }
    }

    /// As KMS signs: ASN.1.
    fn sign(pair: &EcdsaKeyPair, input: &str) -> String {
        let der = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        with_signature(input, &fixed_signature(der.as_ref()).unwrap())
    }

    const LATE: i64 = 4_000_000_000;

    #[test]
    fn what_the_root_has_signed_is_believed_and_nothing_else() {
        let (pair, root) = pair();
        let claims = claims(LATE);
        let certificate = sign(&pair, &claims.to_signing_input());
        assert_eq!(CertifiedKey::verify(&certificate, &root, ISSUER).unwrap().claims(), &claims);
        let why = |unverified: &str, root: &Root, issuer: &str| match CertifiedKey::verify(
            unverified, root, issuer,
        ) {
            Err(Error::Certificate(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&certificate, &self::pair().1, ISSUER), "another key has signed it");
        assert_eq!(why(&certificate, &root, "https://other"), "it is for another issuer");
        let old = sign(&pair, &CertificateClaims { exp: 1000, ..claims.clone() }.to_signing_input());
        assert_eq!(why(&old, &root, ISSUER), "its time is up");
        let (input, signature) = certificate.rsplit_once('.').unwrap();
        let other = CertificateClaims { sub: "k2".parse().unwrap(), ..claims }.to_signing_input();
        assert_eq!(why(&format!("{other}.{signature}"), &root, ISSUER), "another key has signed it");
        assert_eq!(why(&"x".repeat(4000), &root, ISSUER), "it is too long");
        assert_eq!(why("x.y", &root, ISSUER), "it is no JWS");
        let (_, body) = input.split_once('.').unwrap();
        for header in [
            r#"{"alg":"ES256","typ":"trace-cap+jwt"}"#,
            r#"{"alg":"none","typ":"trace-key+jwt"}"#,
            r#"{"alg":"HS256","typ":"trace-key+jwt"}"#,
            r#"{"alg":"ES256"}"#,
            r#"{"alg":"ES256","typ":"trace-key+jwt","kid":"x"}"#,
            r#"{"alg":"ES256","typ":"trace-key+jwt","jku":"http://x"}"#,
        ] {
            let signed = sign(&pair, &format!("{}.{body}", URL_SAFE_NO_PAD.encode(header)));
            assert!(CertifiedKey::verify(&signed, &root, ISSUER).is_err(), "{header}");
        }
    }

    #[test]
    fn keys_of_other_kinds_are_no_root() {
        assert_eq!(Root::from_pem("").unwrap_err(), Error::Root);
        assert_eq!(
            Root::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").unwrap_err(),
            Error::Root
        );
        assert_eq!(Root::from_spki(&[0x30; 91]).unwrap_err(), Error::Root);
        assert_eq!(Root::from_spki(&SPKI_P256).unwrap_err(), Error::Root);
        let mut long = SPKI_P256.to_vec();
        long.extend([7; 65]);
        assert_eq!(Root::from_spki(&long).unwrap_err(), Error::Root);
    }

    #[test]
    fn signatures_are_read_strictly() {
        let short = [0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x7f];
        let fixed = fixed_signature(&short).unwrap();
        assert_eq!(
            (fixed[31], fixed[63], fixed.iter().map(|b| u32::from(*b)).sum::<u32>()),
            (5, 0x7f, 5 + 0x7f)
        );
        let high = [0x30, 0x08, 0x02, 0x02, 0x00, 0x80, 0x02, 0x02, 0x00, 0xff];
        assert_eq!(fixed_signature(&high).map(|fixed| (fixed[31], fixed[63])), Some((0x80, 0xff)));
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 0x00],
            &[0x31, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x7f],
            &[0x30, 0x07, 0x02, 0x01, 0x05, 0x02, 0x01, 0x7f],
            &[0x30, 0x07, 0x02, 0x01, 0x05, 0x02, 0x01, 0x7f, 0x00],
            &[0x30, 0x06, 0x02, 0x01, 0x85, 0x02, 0x01, 0x7f],
            &[0x30, 0x07, 0x02, 0x02, 0x00, 0x05, 0x02, 0x01, 0x7f],
            &[0x30, 0x06, 0x02, 0x00, 0x05, 0x02, 0x01, 0x7f],
            &[0x30, 0x06, 0x02, 0x7f, 0x05, 0x02, 0x01, 0x7f],
        ] {
            assert_eq!(fixed_signature(bad), None, "{bad:x?}");
        }
        let mut long = vec![0x30, 0x26, 0x02, 0x21];
        long.extend([0x11; 33]);
        long.extend([0x02, 0x01, 0x01]);
        assert_eq!(fixed_signature(&long), None);
        for _ in 0..200 {
            // Integers of every length that occurs, and what verifies after the change of form.
            let (pair, root) = pair();
            let certificate = sign(&pair, &claims(LATE).to_signing_input());
            assert!(CertifiedKey::verify(&certificate, &root, ISSUER).is_ok());
        }
    }
}
