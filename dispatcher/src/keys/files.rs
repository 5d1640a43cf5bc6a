//! Key files: mode 0600 in a folder of mode 0700, both this user's own, and no links. What is checked is
//! what is read: a file is opened first and then asked what it is.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    pkcs8::Document,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use nix::{errno::Errno, fcntl::OFlag, unistd::geteuid};

use super::{Error, SigningKey, at};

/// How the names of key files end.
const EXTENSION: &str = "p8";
/// A key file is never longer; an ES256 key takes 138 bytes.
const MAX_BYTES: u64 = 4096;
/// Files in a key folder that are looked at.
const MAX_FILES: usize = 256;

/// Makes the folder where it is absent, and checks it.
pub(super) fn prepare(dir: &Path) -> Result<(), Error> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => return Err(at(dir, source)),
        _ => {}
    }
    let folder = fs::symlink_metadata(dir).map_err(|source| at(dir, source))?;
    if !folder.is_dir() {
        return Err(Error::Kind {
            path: dir.to_owned(),
            expected: "a folder of its own (links are not followed)",
        });
    }
    check(dir, &folder)
}

/// The content of a key file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let no_file = || Error::Kind { path: path.to_owned(), expected: "a file (links are not followed)" };
    // Not waiting is for pipes, which are no files.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(source) if source.raw_os_error() == Some(Errno::ELOOP as i32) => return Err(no_file()),
        opened => opened.map_err(|source| at(path, source))?,
    };
    let found = file.metadata().map_err(|source| at(path, source))?;
    if !found.is_file() {
        return Err(no_file());
    }
    check(path, &found)?;
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content).map_err(|source| at(path, source))?;
    Ok(content)
}

/// Every key in a folder, with its file.
pub(super) fn read_all(dir: &Path) -> Result<Vec<(PathBuf, SigningKey)>, Error> {
    prepare(dir)?;
    let mut keys = Vec::new();
    for entry in fs::read_dir(dir).map_err(|source| at(dir, source))?.take(MAX_FILES) {
        let path = entry.map_err(|source| at(dir, source))?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            let key = SigningKey::read(&path)?;
            keys.push((path, key));
        }
    }
    Ok(keys)
}

/// Makes a new key in the folder, in a file that is called by its id.
pub(super) fn make(dir: &Path) -> Result<SigningKey, Error> {
    prepare(dir)?;
    let pkcs8 = generate()?;
    let key = SigningKey::from_pkcs8(pkcs8.as_ref()).ok_or(Error::Generate)?;
    create(dir, &path_of(dir, &key), pkcs8.as_ref())?;
    Ok(key)
}

/// Where [`make`] puts a key.
fn path_of(dir: &Path, key: &SigningKey) -> PathBuf {
    dir.join(format!("{}.{EXTENSION}", key.id()))
}

pub(super) fn generate() -> Result<Document, Error> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| Error::Generate)
}

/// Writes a key under a name of its own and links it to its place, which fails when another process
/// was faster; its key is then the one that counts.
pub(super) fn create(dir: &Path, path: &Path, pkcs8: &[u8]) -> Result<(), Error> {
    let made = dir.join(format!(".{}.new", uuid::Uuid::new_v4()));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made).and_then(|mut file| {
            file.write_all(pkcs8)?;
            file.sync_all()
        });
    let linked = written.and_then(|()| match fs::hard_link(&made, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&made);
    // The name has to last as the content does, before a database says that this key signs.
    let kept = File::open(dir).and_then(|dir| dir.sync_all());
    linked.and(removed).and(kept).map_err(|source| at(path, source))
}

fn check(path: &Path, found: &fs::Metadata) -> Result<(), Error> {
    let user = geteuid().as_raw();
    if found.uid() != user {
        return Err(Error::Owner { path: path.to_owned(), owner: found.uid(), user });
    }
    if found.mode() & 0o077 != 0 {
        return Err(Error::Permissions { path: path.to_owned(), mode: found.mode() & 0o7777 });
    }
    Ok(())
}
