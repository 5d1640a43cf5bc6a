//! Tokens: forged, altered, shown where they don't belong, kept beyond their attempt.

use trace_controls::Protection::*;

use crate::{
    stolen,
    vector::{
        Attack::{Outside, Reader},
        Control::{self, Layers, Off, Planted, Without},
        Denial, Plane, Vector, denial,
    },
};

const TOKEN: Plane = Plane::Token;
const NOBODY: &[Denial] = &[denial("http 401 unauthenticated")];
const AUDIENCE: &[Denial] = &[denial("http 401 wrong_audience")];
const EXPIRED: &[Denial] = &[denial("http 401 token_expired")];
const OVER: &[Denial] = &[denial("http 401 revoked")];
const NO_SERVICE: &[Denial] = &[denial("http 403 forbidden")];
const SESSION_OVER: &[Denial] = &[denial("s3 400 ExpiredToken")];
const NOT_SIGNED: &[Denial] = &[denial("s3 400 InvalidRequest")];
/// Both look at a token of another algorithm.
const UNSIGNED: Control = Layers(&[TokenAlgorithm, TokenSignature]);

#[rustfmt::skip]
pub const VECTORS: &[Vector] = &[
    TOKEN.vector("algorithm-none", "a token without a signature, by each spelling of `none`", Reader, NOBODY, UNSIGNED),
    TOKEN.vector("algorithm-hmac", "HS256, HS384 and HS512 with the public key as the secret, in six forms", Reader, NOBODY, UNSIGNED),
    TOKEN.vector("algorithm-other", "RS256, PS256, ES384, EdDSA and others, with a signature of the platform's own key", Reader, NOBODY, UNSIGNED),
    TOKEN.vector("algorithm-absent", "a header without `alg`", Reader, NOBODY, UNSIGNED),
    TOKEN.vector("header-jku", "`jku`: keys at an address of the attacker's; well signed", Reader, NOBODY, Off(TokenHeader)),
    TOKEN.vector("header-jwk", "`jwk`: a key in the token; well signed", Reader, NOBODY, Off(TokenHeader)),
    TOKEN.vector("header-x5u", "`x5u`: a certificate in a file; well signed", Reader, NOBODY, Off(TokenHeader)),
    TOKEN.vector("header-x5c", "`x5c`: a certificate in the token; well signed", Reader, NOBODY, Off(TokenHeader)),
    TOKEN.vector("header-cty", "`cty`: a token in a token; well signed", Reader, NOBODY, Off(TokenHeader)),
    TOKEN.vector("header-crit", "`crit`: an extension that has to be understood; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("embedded-key", "a token signed by a key that it brings along", Reader, NOBODY, Layers(&[TokenHeader, TokenSignature])),
    TOKEN.vector("header-duplicates", "`alg` twice in the header; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("type-of-others", "the type of a user's token, none, and others; well signed", Reader, NOBODY, Off(TokenType)),
    TOKEN.vector("key-id-unknown", "a key id of nobody; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("key-id-path", "a key id that is a path, as `../../dev/null`; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("key-id-sql", "a key id that is SQL; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("key-id-absent", "no key id; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("key-id-odd", "key ids that are empty, blank, of 8,000 characters, of another case; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("signature-absent", "its own token without the signature", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("signature-zero", "signatures of zeros and of the group's order (CVE-2022-21449)", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("signature-der", "a signature in DER", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("signature-cut", "signatures that are cut, longer, or twice there", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("signature-swapped", "a signature with its two numbers swapped", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("signature-of-another-key", "a signature of another key under the platform's key id", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("altered-claims", "its own token with a later end", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("base64-padded", "its own token with padding", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("base64-other-last-bits", "its own token with other unused bits in the last character", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("base64-other-alphabet", "a signature in the alphabet with `+` and `/`", Reader, NOBODY, Off(TokenSignature)),
    TOKEN.vector("other-forms", "two parts, five parts, empty parts, the JSON form", Reader, NOBODY, Planted),
    TOKEN.vector("audience-of-query", "the query service's audience at the dispatcher; well signed", Reader, AUDIENCE, Off(TokenAudience)),
    TOKEN.vector("audience-list", "lists of audiences, none, and another case; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("issuer-other", "issuers that look alike; well signed", Reader, NOBODY, Off(TokenIssuer)),
    TOKEN.vector("issuer-list", "a list of issuers with the right one, none, a number; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("expired", "tokens that ended 7 seconds ago and more (5 are allowed for clocks); well signed", Reader, EXPIRED, Off(TokenTime)),
    TOKEN.vector("not-yet", "tokens that start 15 seconds from now and later; well signed", Reader, NOBODY, Off(TokenTime)),
    TOKEN.vector("times-odd", "ends that are absent, texts, fractions, lists, beyond 64 bits; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("times-infinite", "ends that are infinite, no numbers, or in hex; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("times-negative", "ends before 1970; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("claims-of-other-types", "eleven claims of other types, unknown claims, prefixes that are none; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("claims-twice", "claims that are there twice; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("claims-deep", "a claim of 4,000 lists in each other; well signed", Reader, NOBODY, Planted),
    TOKEN.vector("token-long", "a token of more than 16 KiB; well signed", Reader, NOBODY, Off(TokenSize)),
    TOKEN.vector("token-in-address", "its token in the address, in a cookie, in other headers, twice; forwarded identities", Reader, NOBODY, Planted),
    TOKEN.vector("hash-collision-of-memory", "a token that begins as one does which was believed", Reader, NOBODY, Planted),
    TOKEN.vector("task-token-at-query", "the dispatcher's token at the query service", Reader, AUDIENCE, Off(TokenAudience)),
    TOKEN.vector("query-token-at-dispatcher", "the query service's token at the dispatcher", Reader, AUDIENCE, Off(TokenAudience)),
    TOKEN.vector("query-token-for-credentials", "the query service's token for object credentials", Reader, AUDIENCE, Off(TokenAudience)),
    TOKEN.vector("token-at-store", "its token at the object store", Reader, NOT_SIGNED, Planted),
    TOKEN.vector("token-for-gateway", "a token for the egress gateway, without a grant", Reader, NO_SERVICE,
        Without("it takes a grant to get one; `user_egress::a_capability_has_what_is_declared_and_allowed_now` shows that it is given then")),
    TOKEN.vector("user-token-at-dispatcher", "an admin's token at the task API", Reader, NOBODY, Planted),
    TOKEN.vector("user-token-at-query", "an admin's token at the tasks' query address", Reader, NOBODY, Planted),
    TOKEN.vector("attempt-of-another-task", "its own attempt with another task; well signed", Reader, OVER, Off(LivingAttempt)),
    TOKEN.vector("attempt-of-nobody", "attempts that there never were; well signed", Reader, OVER, Off(LivingAttempt)),
    TOKEN.vector("attempt-of-nobody-at-query", "the same at the query service; well signed", Reader, OVER, Off(LivingAttempt)),
    TOKEN.vector("cancelled-at-dispatcher", "the token of a cancelled attempt at the dispatcher", Outside(stolen::cancelled_at_dispatcher), OVER, Off(LivingAttempt)),
    TOKEN.vector("cancelled-at-query", "the token of a cancelled attempt at the query service", Outside(stolen::cancelled_at_queries), OVER, Off(LivingAttempt)),
    TOKEN.vector("cancelled-at-store", "the keys of a cancelled attempt at the object store", Outside(stolen::cancelled_at_objects), SESSION_OVER, Off(LivingAttempt)),
    TOKEN.vector("completed-at-dispatcher", "the token of a completed attempt at the dispatcher", Outside(stolen::completed_at_dispatcher), OVER, Off(LivingAttempt)),
    TOKEN.vector("completed-at-query", "the token of a completed attempt at the query service", Outside(stolen::completed_at_queries), OVER, Off(LivingAttempt)),
    TOKEN.vector("completed-at-store", "the keys of a completed attempt at the object store", Outside(stolen::completed_at_objects), SESSION_OVER, Off(LivingAttempt)),
    TOKEN.vector("superseded-at-dispatcher", "the token of an attempt after which another runs, at the dispatcher", Outside(stolen::superseded_at_dispatcher), OVER, Off(LivingAttempt)),
    TOKEN.vector("superseded-at-query", "the token of an attempt after which another runs, at the query service", Outside(stolen::superseded_at_queries), OVER, Off(LivingAttempt)),
    TOKEN.vector("superseded-at-store", "the keys of an attempt after which another runs, at the object store", Outside(stolen::superseded_at_objects), SESSION_OVER, Off(LivingAttempt)),
    TOKEN.vector("capability-at-users", "a capability at the users' API", Outside(stolen::capability_at_users), NOBODY, Planted),
    TOKEN.vector("query-token-at-users", "a capability for queries at the users' query address", Outside(stolen::query_token_at_users_queries), NOBODY, Planted),
    TOKEN.vector("capability-at-workers", "a capability at the API of workers and planes", Outside(stolen::capability_at_workers), NO_SERVICE, Off(ServiceIdentity)),
    TOKEN.vector("user-token-at-workers", "an admin's token at the API of workers and planes", Outside(stolen::user_token_at_workers), NO_SERVICE, Off(ServiceIdentity)),
    TOKEN.vector("forwarded-identity", "identities in headers, as a proxy forwards them", Outside(stolen::forwarded_identity), NOBODY, Planted),
];
