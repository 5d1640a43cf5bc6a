//! The next key: made, certified where there is a root of trust, and when it is due.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::Utc;
use sqlx::PgConnection;

use super::KeyRing;
use crate::{
    db::{
        self,
        keys::{Certificate, KeyRow, SigningRow},
    },
    keys::{Error, SigningKey, files},
};

/// A key that does not sign yet.
#[derive(Debug, Clone)]
pub struct Made {
    /// The key.
    pub key: Arc<SigningKey>,
    /// What the root of trust says of it.
    pub certificate: Option<Certificate>,
}

impl KeyRing {
    /// Makes a new key, which does not sign yet, and has it certified where there is a root of trust. That
    /// may take seconds: nobody else is to wait for it meanwhile.
    ///
    /// # Errors
    /// When the folder can't be used, or the root is away; no key is left then.
    pub async fn make(&self) -> Result<Made, Error> {
        let new = self.make_uncertified()?;
        let certified = self.certify(Arc::clone(&new.key)).await;
        if certified.is_err() {
            self.discard(&new);
        }
        certified
    }

    /// Makes a new key that nobody certifies. Where there is a root of trust, nothing is signed until the next
    /// key: it is for taking a key away whatever the root does.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn make_uncertified(&self) -> Result<Made, Error> {
        Ok(Made { key: self.keep(files::make(&self.0.folder)?), certificate: None })
    }

    pub(super) async fn certify(&self, key: Arc<SigningKey>) -> Result<Made, Error> {
        let certificate = match &self.0.certifier {
            Some(certifier) => Some(certifier.certify(key.id(), key.point()).await?),
            None => None,
        };
        Ok(Made { key, certificate })
    }

    /// Forgets a key that was made and is not to sign.
    pub fn discard(&self, made: &Made) {
        self.private().remove(made.key.id());
        self.remove_spent(&HashSet::from([made.key.id().clone()]));
    }

    /// Whether the root of trust of today certifies this key.
    pub(super) fn has_certified(&self, row: &KeyRow) -> bool {
        let Some(certifier) = &self.0.certifier else { return true };
        let keys = row.certificate.as_deref().map(|certificate| certifier.key_set([certificate]));
        keys.is_some_and(|keys| keys.is_ok_and(|keys| keys.has(row.kid.as_str())))
    }

    /// Whether what this key signs now is believed to its end.
    pub(super) fn is_certified(&self, signing: &SigningRow) -> bool {
        self.0.certifier.is_none() || signing.certified_seconds.is_some_and(|left| left > 0.0)
    }

    /// Whether the key that signs is certified, by the last look at the database: a question that costs nothing,
    /// for those who would begin what can't be finished without a signature.
    ///
    /// # Errors
    /// [`Error::Uncertified`].
    pub fn check(&self) -> Result<(), Error> {
        if self.0.certifier.is_none() {
            return Ok(());
        }
        let rows = self.public();
        let Some(row) = rows.iter().find(|row| row.stopped_at.is_none()) else { return Ok(()) };
        let needed = Utc::now() + self.0.overlap;
        let is_certified = row.certified_until.is_some_and(|until| until > needed);
        if is_certified { Ok(()) } else { Err(Error::Uncertified(row.kid.clone())) }
    }

    /// In what time a new key is to sign: at once, when that is zero.
    #[must_use]
    pub fn due(&self, signing: Option<&SigningRow>, every: Duration) -> Duration {
        let Some(signing) = signing.filter(|signing| self.is_certified(signing)) else {
            return Duration::ZERO;
        };
        let left = every.as_secs_f64() - signing.age_seconds;
        // A certificate that ends sooner is renewed sooner.
        let left = signing.certified_seconds.map_or(left, |certified| left.min(certified / 2.0));
        Duration::try_from_secs_f64(left).unwrap_or_default()
    }

    /// The key that signs and its times.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn signing_row(&self, conn: &mut PgConnection) -> Result<Option<SigningRow>, Error> {
        Ok(db::keys::signing_row(conn, self.0.overlap.as_secs_f64()).await?)
    }
}
