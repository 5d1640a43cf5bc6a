//! The keys that sign capabilities: one signs, those before it verify until what they signed has expired.
//!
//! Private halves are files of the key folder, which every dispatcher of one database shares. Public halves
//! and times are in PostgreSQL, which says which key signs; a dispatcher asks it whenever it signs, so that
//! no two of them differ. See `docs/adr/0013-key-ring.md`.

mod next;

use std::{
    collections::{HashMap, HashSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use trace_contracts::{
    KeyId,
    keys::{CERTIFICATE_MEMBER, KeySet},
    wire::authority::{KeyInfo, KeyState},
};
use trace_plane::{FetchKeys, KeySource, jwks::Fetching};

pub use self::next::Made;
use super::{Error, SigningKey, files, kms::Certifier};
use crate::{
    config::{Keys, Root, WhenLost},
    db::{self, keys::KeyRow},
};

/// Keys that are believed at the same time at most: what a verifier takes, with room to spare.
const MAX_BELIEVED: usize = 16;

/// The ring; cheap to clone.
#[derive(Clone)]
pub struct KeyRing(Arc<Ring>);

struct Ring {
    folder: PathBuf,
    /// What an operator brought beside the folder.
    brought: Option<PathBuf>,
    private: Mutex<HashMap<KeyId, Arc<SigningKey>>>,
    public: Mutex<Vec<KeyRow>>,
    source: KeySource,
    certifier: Option<Arc<Certifier>>,
    /// How long what a key signs has to be believed at most.
    overlap: Duration,
}

/// What a change of the key that signs did.
#[derive(Debug)]
pub struct Turned {
    /// What signed before.
    pub before: Option<KeyId>,
    /// What signs now.
    pub now: KeyId,
}

impl KeyRing {
    /// Opens the ring of a database. The first dispatcher makes its first key, or takes the one that lies in
    /// the folder; a key that an operator brings and nobody knows yet signs from now on.
    ///
    /// # Errors
    /// When somebody else could read a key, or the key that signs is not here. See [`Error`].
    pub async fn open(
        db: &PgPool,
        folder: &Path,
        settings: &Keys,
        overlap_seconds: u64,
        issuer: &str,
    ) -> Result<Self, Error> {
        let overlap = Duration::from_secs(overlap_seconds);
        let certifier = match &settings.root {
            Root::KeyFolder => None,
            Root::Kms(config) => Some(Arc::new(Certifier::open(config, issuer, overlap).await?)),
        };
        let from = FromDatabase { db: db.clone(), certifier: certifier.clone() };
        let ring = Self(Arc::new(Ring {
            folder: folder.to_owned(),
            brought: settings.signing_key.clone(),
            private: Mutex::default(),
            public: Mutex::default(),
            source: KeySource::fetched(Box::new(from)),
            certifier,
            overlap,
        }));
        ring.read_private()?;
        let mut tx = db.begin().await.map_err(db::Error::from)?;
        db::keys::lock(&mut tx).await?;
        ring.settle(&mut tx, settings).await?;
        tx.commit().await.map_err(db::Error::from)?;
        ring.reload(&mut *db.acquire().await.map_err(db::Error::from)?).await?;
        Ok(ring)
    }

    /// Sees to it that a key signs, and that it is here.
    async fn settle(&self, tx: &mut PgConnection, settings: &Keys) -> Result<(), Error> {
        let known = db::keys::all(tx).await?;
        let is_known = |kid: &KeyId| known.iter().any(|row| row.kid == *kid);
        if let Some(path) = &settings.signing_key {
            let key = SigningKey::read(path)?;
            if !is_known(key.id()) {
                let brought = self.certify(self.keep(key)).await?;
                return self.turn_to(tx, &brought).await.map(drop);
            }
        }
        let signing = known.iter().find(|row| row.stopped_at.is_none());
        match signing {
            Some(row) if self.private().contains_key(&row.kid) => {
                let signing = self.signing_row(tx).await?;
                let is_certified = signing.is_some_and(|signing| self.is_certified(&signing));
                if is_certified && self.has_certified(row) {
                    return Ok(());
                }
                // A root has been set up since, or another one, or it was away for too long.
                let new = self.make().await?;
                self.turn_to(tx, &new).await.map(drop)
            }
            Some(row) if settings.when_lost == WhenLost::Refuse => {
                Err(Error::Lost { kid: row.kid.clone(), folder: self.0.folder.clone() })
            }
            Some(_) => {
                let new = self.make().await?;
                self.turn_to(tx, &new).await.map(drop)
            }
            None => {
                let key = SigningKey::open(&self.0.folder)?;
                self.keep(key);
                self.read_private()?;
                let first = self.private().values().find(|key| !is_known(key.id())).map(Arc::clone);
                let Made { key, certificate } = match first {
                    Some(key) => self.certify(key).await?,
                    None => self.make().await?,
                };
                Ok(db::keys::start(tx, key.id(), key.point(), certificate.as_ref()).await?)
            }
        }
    }

    /// Lets another key sign from now on. Its transaction must hold the lock ([`db::keys::lock`]).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn turn_to(&self, tx: &mut PgConnection, new: &Made) -> Result<Turned, Error> {
        let before = db::keys::stop(tx, self.0.overlap.as_secs_f64()).await?;
        db::keys::start(tx, new.key.id(), new.key.point(), new.certificate.as_ref()).await?;
        Ok(Turned { before, now: new.key.id().clone() })
    }

    /// The key that signs, by the database's word of this moment.
    ///
    /// # Errors
    /// When it is not here, or the database fails.
    pub async fn signing(&self, conn: &mut PgConnection) -> Result<Arc<SigningKey>, Error> {
        let row = self.signing_row(conn).await?.ok_or_else(|| {
            db::Error::corrupt("the keys", "none signs, although one does from the first start on")
        })?;
        if !self.is_certified(&row) {
            return Err(Error::Uncertified(row.kid));
        }
        let kid = row.kid;
        if let Some(key) = self.private().get(&kid) {
            return Ok(Arc::clone(key));
        }
        // Another dispatcher has made it a moment ago.
        self.read_private()?;
        let found = self.private().get(&kid).map(Arc::clone);
        found.ok_or_else(|| Error::Lost { kid, folder: self.0.folder.clone() })
    }

    /// Reads anew what the database says of public halves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh(&self, conn: &mut PgConnection) -> Result<(), Error> {
        let rows = db::keys::all(conn).await?;
        self.0.source.replace(key_set(&rows, self.0.certifier.as_deref())?);
        *self.public() = rows;
        Ok(())
    }

    /// The same, and forgets private halves that sign no more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reload(&self, conn: &mut PgConnection) -> Result<(), Error> {
        self.refresh(conn).await?;
        let spent: HashSet<KeyId> =
            self.public().iter().filter(|row| row.stopped_at.is_some()).map(|row| row.kid.clone()).collect();
        self.private().retain(|kid, _| !spent.contains(kid));
        self.remove_spent(&spent);
        Ok(())
    }

    /// A private half that signs no more is of use to thieves alone. What an operator brought is theirs.
    fn remove_spent(&self, spent: &HashSet<KeyId>) {
        let removed = files::read_all(&self.0.folder).and_then(|found| {
            for (path, key) in &found {
                if !spent.contains(key.id()) || self.0.brought.as_ref() == Some(path) {
                    continue;
                }
                match fs::remove_file(path) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(super::at(path, source));
                    }
                    _ => tracing::info!(path = %path.display(), "a key that signs no more was removed"),
                }
            }
            Ok(())
        });
        if let Err(error) = removed {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a key that signs no more was not removed"
            );
        }
    }

    /// The public halves that are believed, by the last look at the database, as a JWKS document. Each says in `trace_state` where it stands,
    /// and in `trace_until` how long it is believed.
    #[must_use]
    pub fn jwks(&self) -> String {
        let now = Utc::now();
        let rows = self.public();
        let keys = rows.iter().filter(|row| is_believed(row, now)).map(|row| {
            let mut jwk = super::jwk(&row.kid, &row.point);
            jwk["trace_state"] = serde_json::json!(state(row));
            jwk["trace_until"] = serde_json::json!(row.retires_at);
            if let Some(certificate) = &row.certificate {
                jwk[CERTIFICATE_MEMBER] = serde_json::json!(certificate);
            }
            jwk
        });
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }

    /// Where verifiers of this dispatcher find public halves. Those of revoked keys are among them while
    /// something that they signed could be valid: it is refused with that reason, by the database's word.
    #[must_use]
    pub fn source(&self) -> KeySource {
        self.0.source.clone()
    }

    fn read_private(&self) -> Result<(), Error> {
        for (_, key) in files::read_all(&self.0.folder)? {
            self.keep(key);
        }
        if let Some(path) = &self.0.brought {
            self.keep(SigningKey::read(path)?);
        }
        Ok(())
    }

    fn keep(&self, key: SigningKey) -> Arc<SigningKey> {
        Arc::clone(self.private().entry(key.id().clone()).or_insert_with(|| Arc::new(key)))
    }

    fn public(&self) -> MutexGuard<'_, Vec<KeyRow>> {
        self.0.public.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn private(&self) -> MutexGuard<'_, HashMap<KeyId, Arc<SigningKey>>> {
        self.0.private.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

/// Whether there is room for another key beside those that are believed.
#[must_use]
pub fn has_room(rows: &[KeyRow]) -> bool {
    rows.iter().filter(|row| is_believed(row, Utc::now())).count() < MAX_BELIEVED
}

/// A key as the API shows it.
#[must_use]
pub fn info(row: KeyRow) -> KeyInfo {
    KeyInfo {
        state: state(&row),
        kid: row.kid,
        signs_from: row.signs_from,
        stopped_at: row.stopped_at,
        retires_at: row.retires_at,
        revoked_at: row.revoked_at,
        reason: row.reason,
    }
}

fn state(row: &KeyRow) -> KeyState {
    match row {
        KeyRow { revoked_at: Some(_), .. } => KeyState::Revoked,
        KeyRow { stopped_at: None, .. } => KeyState::Signing,
        KeyRow { is_retired: true, .. } => KeyState::Retired,
        _ => KeyState::Verifying,
    }
}

fn is_believed(row: &KeyRow, now: DateTime<Utc>) -> bool {
    row.revoked_at.is_none() && row.retires_at.is_none_or(|until| until > now)
}

/// What verifies. Believed keys come first, so that many revoked ones can't push them out. Where there is a root
/// of trust, a row counts for nothing but its certificate: whoever writes to the database can't add a key.
fn key_set(rows: &[KeyRow], certifier: Option<&Certifier>) -> Result<KeySet, Error> {
    let (believed, revoked): (Vec<_>, Vec<_>) =
        rows.iter().filter(|row| !row.is_retired).partition(|row| row.revoked_at.is_none());
    let keys = believed.into_iter().chain(revoked).take(2 * MAX_BELIEVED);
    if let Some(certifier) = certifier {
        use trace_contracts::keys::Error as E;
        return match certifier.key_set(keys.filter_map(|row| row.certificate.as_deref())) {
            // Then nobody is believed.
            Err(E::Uncertified(_)) => Ok(KeySet::default()),
            set => Ok(set?),
        };
    }
    let keys: Vec<_> = keys.map(|row| super::jwk(&row.kid, &row.point)).collect();
    Ok(KeySet::from_jwks(&serde_json::json!({ "keys": keys }).to_string())?)
}

/// Public halves for a token that names a key which this dispatcher has not heard of yet.
struct FromDatabase {
    db: PgPool,
    certifier: Option<Arc<Certifier>>,
}

impl FetchKeys for FromDatabase {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async {
            let mut conn = self.db.acquire().await?;
            Ok(key_set(&db::keys::all(&mut conn).await?, self.certifier.as_deref())?)
        })
    }
}
