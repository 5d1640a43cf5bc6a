use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use trace_contracts::Secret;

use super::*;
use crate::credentials::{StoreNames, policy::MAX_POLICY_CHARS};

/// A store that mints what its rules allow, and counts.
struct Store {
    clock: Clock,
    minted: AtomicUsize,
    revoked: Mutex<Vec<AttemptId>>,
    documents: Mutex<Vec<String>>,
    /// The longest document that it takes.
    max_chars: usize,
    /// Its next answers, before it mints again.
    refusals: Mutex<Vec<Error>>,
}

#[async_trait]
impl CredentialMinter for Store {
    fn rules(&self) -> Rules {
        Rules { shortest: Duration::from_secs(900), ..Rules::default() }
    }

    async fn mint(&self, request: SessionRequest) -> Result<SessionKeys, Error> {
        if let Some(refusal) = self.refusals.lock().unwrap().pop() {
            return Err(refusal);
        }
        let chars = request.policy.chars();
        if chars > self.max_chars {
            return Err(Error::PolicyTooLarge { chars, reason: "112%".to_owned() });
        }
        self.documents.lock().unwrap().push(request.policy.document);
        let id = self.minted.fetch_add(1, Ordering::SeqCst);
        Ok(SessionKeys {
            access_key_id: format!("ASIA{id}"),
            secret_access_key: Secret::new("hush".to_owned()),
            session_token: Secret::new("hush".to_owned()),
            expires_at: (self.clock)() + request.duration,
        })
    }

    async fn revoke(&self, attempt: AttemptId) -> Result<(), Error> {
        self.revoked.lock().unwrap().push(attempt);
        Ok(())
    }
}

struct Bench {
    issuer: Issuer,
    store: Arc<Store>,
    seconds: Arc<AtomicI64>,
}

impl Bench {
    fn new(max_chars: usize) -> Self {
        let seconds = Arc::new(AtomicI64::new(0));
        let shown = Arc::clone(&seconds);
        let clock: Clock =
            Arc::new(move || DateTime::UNIX_EPOCH + TimeDelta::seconds(shown.load(Ordering::SeqCst)));
        let store = Arc::new(Store {
            clock: Arc::clone(&clock),
            minted: AtomicUsize::new(0),
            revoked: Mutex::default(),
            documents: Mutex::default(),
            max_chars,
            refusals: Mutex::default(),
        });
        let issuer = Issuer::new(Arc::clone(&store) as _, Duration::from_secs(60), clock);
        Self { issuer, store, seconds }
    }

    fn minted(&self) -> usize {
        self.store.minted.load(Ordering::SeqCst)
    }

    /// As the route does it.
    async fn ask(&self, attempt: i64, packed: &Packed) -> Result<Arc<Issued>, Error> {
        let holder = holder(attempt);
        let mut turn = self.issuer.turn(holder.attempt).await;
        match self.issuer.fresh(&turn) {
            Some(issued) => Ok(issued),
            None => self.issuer.mint(&mut turn, holder, packed.clone()).await,
        }
    }
}

fn holder(attempt: i64) -> Holder {
    Holder {
        org: OrgId::from_db(1),
        task: TaskId::from_db((1 << 20) + 1),
        attempt: AttemptId::from_db(attempt),
        kid: "k1".parse().unwrap(),
    }
}

fn folder(name: &str) -> S3Prefix {
    format!("s3://trace/data/o1/r1/t1/{name}/").parse().unwrap()
}

fn packed(inputs: usize) -> Packed {
    let store = StoreNames::default();
    let write = vec![folder("a1/out"), folder("a1/scratch")];
    let own = SessionPolicy::new(&store, vec![folder("a1/scratch")], write);
    let inputs = (0..inputs).map(|n| folder(&format!("a9{n}/out"))).collect();
    crate::credentials::pack::pack(&store, own, inputs).unwrap()
}

fn reached(issued: &Issued) -> BTreeSet<S3Prefix> {
    let read = issued.sessions.iter().flat_map(|session| &session.read).chain(&issued.left);
    read.filter(|prefix| **prefix != folder("a1/scratch")).cloned().collect()
}

#[tokio::test]
async fn sessions_are_minted_once_while_they_are_fresh() {
    let bench = Bench::new(MAX_POLICY_CHARS);
    let wanted = packed(1);
    let asked = futures::future::join_all((0..50).map(|_| bench.ask(1, &wanted))).await;
    let first = asked[0].as_ref().unwrap();
    assert!(asked.iter().all(|issued| Arc::ptr_eq(issued.as_ref().unwrap(), first)));
    assert_eq!(bench.minted(), 1);
    bench.ask(2, &packed(1)).await.unwrap();
    assert_eq!(bench.minted(), 2, "another attempt has its own");
}

#[tokio::test]
async fn for_hours_whoever_asks_has_keys_for_at_least_half_a_session() {
    let bench = Bench::new(MAX_POLICY_CHARS);
    let hours = 5;
    for second in (0..hours * 3600).step_by(10) {
        bench.seconds.store(second, Ordering::SeqCst);
        let issued = bench.ask(1, &packed(3)).await.unwrap();
        for session in &issued.sessions {
            let left = session.expires_at - bench.issuer.now();
            assert!(left >= TimeDelta::seconds(450), "{left} left after {second} s");
        }
    }
    assert_eq!(bench.minted() as i64, hours * 3600 / 450);
}

#[tokio::test]
async fn they_end_with_the_attempt() {
    let bench = Bench::new(MAX_POLICY_CHARS);
    bench.ask(1, &packed(1)).await.unwrap();
    bench.issuer.revoke(AttemptId::from_db(1)).await.unwrap();
    assert_eq!(*bench.store.revoked.lock().unwrap(), [AttemptId::from_db(1)]);
    assert!(bench.issuer.slots().is_empty());
    bench.ask(1, &packed(1)).await.unwrap();
    assert_eq!(bench.minted(), 2, "nothing of what it had was remembered");
}

#[tokio::test]
async fn so_many_attempts_are_remembered_and_no_more() {
    let bench = Bench::new(MAX_POLICY_CHARS);
    let packed = packed(0);
    for attempt in 1..MAX_ATTEMPTS as i64 + 10 {
        bench.ask(attempt, &packed).await.unwrap();
        assert!(bench.issuer.slots().len() <= MAX_ATTEMPTS);
    }
    bench.seconds.store(100_000, Ordering::SeqCst);
    bench.ask(i64::MAX, &packed).await.unwrap();
    assert_eq!(bench.issuer.slots().len(), 1, "what has run out goes first");
}

#[tokio::test]
async fn what_the_store_finds_too_large_is_split_and_reaches_the_same() {
    let whole = packed(12);
    assert_eq!(whole.sessions.len(), 1);
    let bench = Bench::new(whole.sessions[0].chars() / 2);
    let issued = bench.ask(1, &whole).await.unwrap();
    assert!(issued.sessions.len() > 1 && issued.left.is_empty());
    assert!(!issued.sessions[0].write.is_empty(), "the first one writes");
    assert!(issued.sessions[1..].iter().all(|session| session.write.is_empty()));
    assert_eq!(reached(&issued), (0..12).map(|n| folder(&format!("a9{n}/out"))).collect());
}

#[tokio::test]
async fn what_fits_into_no_session_then_is_left_to_addresses() {
    let whole = packed(60);
    let own_alone = packed(0).sessions[0].chars();
    let bench = Bench::new(own_alone + 40);
    let issued = bench.ask(1, &whole).await.unwrap();
    assert!(issued.sessions.len() <= MAX_SESSIONS && !issued.left.is_empty());
    assert_eq!(reached(&issued), (0..60).map(|n| folder(&format!("a9{n}/out"))).collect());
    let signer = issued.signer.as_ref().unwrap();
    assert!(!issued.sessions.iter().any(|session| session.access_key_id == signer.access_key_id));
    let last = bench.store.documents.lock().unwrap().last().unwrap().clone();
    assert!(last.contains("arn:aws:s3:::trace/data/o1/*") && !last.contains("PutObject"), "{last}");
}

#[tokio::test]
async fn own_folders_that_do_not_fit_are_an_error() {
    let bench = Bench::new(100);
    assert!(matches!(bench.ask(1, &packed(3)).await, Err(Error::PolicyTooLarge { .. })));
}

#[tokio::test]
async fn all_sessions_are_there_or_none() {
    let bench = Bench::new(MAX_POLICY_CHARS);
    let several = packed(60);
    assert!(several.sessions.len() > 1);
    bench.store.refusals.lock().unwrap().push(Error::Throttled("Rate exceeded".to_owned()));
    assert!(matches!(bench.ask(1, &several).await, Err(Error::Throttled(_))));
    assert_eq!(bench.ask(1, &several).await.unwrap().sessions.len(), several.sessions.len());
}

#[test]
fn keys_are_not_shown() {
    let keys = SessionKeys {
        access_key_id: "ASIA".to_owned(),
        secret_access_key: Secret::new("hush".to_owned()),
        session_token: Secret::new("hush".to_owned()),
        expires_at: DateTime::UNIX_EPOCH,
    };
    let policy = packed(1).sessions.remove(0);
    let issued = Issued {
        sessions: vec![credentials(keys.clone(), policy)],
        left: BTreeSet::new(),
        signer: Some(keys),
        renew_at: DateTime::UNIX_EPOCH,
    };
    let shown = format!("{issued:?}");
    assert!(shown.contains("ASIA") && !shown.contains("hush"), "{shown}");
}
