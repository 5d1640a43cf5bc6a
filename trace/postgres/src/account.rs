//! The user that PostgreSQL runs as.

use nix::unistd::{Gid, Uid, User, geteuid};

/// Users that PostgreSQL can run as where this process is root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A user who is not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: Uid,
    /// Their group.
    pub gid: Gid,
}

/// This process is root, and there is nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody`")]
pub struct NoAccount;

impl Account {
    /// Whom a command has to become before it starts PostgreSQL, which refuses to run as root. Nobody where
    /// this process is not root.
    ///
    /// # Errors
    /// When it is, and there is nobody to become.
    pub fn instead_of_root() -> Result<Option<Self>, NoAccount> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let users = UNPRIVILEGED.iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = users.filter(|user| !user.uid.is_root()).ok_or(NoAccount)?;
        Ok(Some(Self { uid: user.uid, gid: user.gid }))
    }
}
