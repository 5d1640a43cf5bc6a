//! Public keys: fetched when they are needed, replaced when they change.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use trace_contracts::{Audience, ErrorCode, keys::KeySet};
use trace_plane::{FetchKeys, KeySource, Verifier, jwks::Fetching};

use crate::signer::Signer;

/// Keys that change as a test says.
#[derive(Clone, Default)]
struct Published {
    keys: Arc<Mutex<Vec<serde_json::Value>>>,
    fetched: Arc<AtomicUsize>,
}

impl Published {
    fn set(&self, signers: &[&Signer]) {
        *self.keys.lock().unwrap() = signers.iter().map(|signer| signer.jwk()).collect();
    }
}

impl FetchKeys for Published {
    fn fetch(&self) -> Fetching<'_> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let keys = serde_json::json!({ "keys": *self.keys.lock().unwrap() });
        Box::pin(async move { Ok(KeySet::from_jwks(&keys.to_string())?) })
    }
}

fn verifier(published: &Published) -> Verifier {
    Verifier::new(KeySource::fetched(Box::new(published.clone())), "i")
}

#[tokio::test]
async fn a_new_key_is_picked_up_at_its_first_token() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let published = Published::default();
    published.set(&[&old]);
    let verifier = verifier(&published);
    verifier.verify_capability(&old.token(1), Audience::Query).await.unwrap();
    published.set(&[&new, &old]);
    verifier.verify_capability(&new.token(2), Audience::Query).await.unwrap();
    verifier.verify_capability(&old.token(3), Audience::Query).await.unwrap();
    assert_eq!(published.fetched.load(Ordering::SeqCst), 2);
}

/// Made-up key ids use the refreshes up; whoever shows a good token of a new key waits, and is not refused.
#[tokio::test]
async fn made_up_key_ids_can_t_keep_a_new_key_out() {
    let (old, new, nobody) = (Signer::new("old"), Signer::new("new"), Signer::new("nobody"));
    let published = Published::default();
    published.set(&[&old]);
    let verifier = verifier(&published);
    verifier.verify_capability(&old.token(1), Audience::Query).await.unwrap();
    let refused = verifier.verify_capability(&nobody.token(1), Audience::Query).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::Unauthenticated);
    published.set(&[&new, &old]);
    // The flood is ahead of it, and within the interval.
    let flood = futures_of(&verifier, &nobody, 50);
    verifier.verify_capability(&new.token(2), Audience::Query).await.unwrap();
    for refused in flood {
        assert_eq!(refused.await.unwrap(), Some(ErrorCode::Unauthenticated));
    }
    assert!(published.fetched.load(Ordering::SeqCst) <= 4, "one fetch for all who wait");
}

fn futures_of(
    verifier: &Verifier,
    signer: &Signer,
    count: i64,
) -> Vec<tokio::task::JoinHandle<Option<ErrorCode>>> {
    (0..count)
        .map(|n| {
            let (verifier, token) = (verifier.clone(), signer.token(n + 1));
            tokio::spawn(async move {
                let refused = verifier.verify_capability(&token, Audience::Query).await;
                refused.err().map(|refusal| refusal.code())
            })
        })
        .collect()
}

#[tokio::test]
async fn a_key_that_is_gone_takes_what_was_remembered_with_it() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let published = Published::default();
    published.set(&[&old]);
    let source = KeySource::fetched(Box::new(published.clone()));
    let verifier = Verifier::new(source.clone(), "i");
    let token = old.token(1);
    verifier.verify_capability(&token, Audience::Query).await.unwrap();
    published.set(&[&new]);
    source.replace(KeySet::from_jwks(&serde_json::json!({ "keys": [new.jwk()] }).to_string()).unwrap());
    let refused = verifier.verify_capability(&token, Audience::Query).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::Unauthenticated);
}
