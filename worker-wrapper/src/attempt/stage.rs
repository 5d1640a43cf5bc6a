//! What an attempt finds on its disk: the unpacked bundle and the declared files.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::try_join_all;
use tokio::task::spawn_blocking;
use trace_bundle::Rules;
use trace_contracts::{
    AttemptId,
    wire::worker::{Blob, Code, FailureReason, Language, LaunchSpec},
};

use super::{bundle, fetch};
use crate::{
    cache::{self, Cache, Entry},
    dispatcher::Dispatcher,
};

/// Why an attempt can't be staged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A blob.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// What is in the bundle.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// This machine's disk.
    #[error("staging in {path}: {source}", path = path.display())]
    Disk {
        /// What was written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// Whose fault it is. What is the platform's counts as a lost worker, and is tried again.
    pub(crate) const fn reason(&self) -> FailureReason {
        let is_ours = match self {
            Self::Fetch(error) => error.is_ours(),
            Self::Bundle(error) => error.is_ours(),
            Self::Disk { .. } => true,
        };
        if is_ours { FailureReason::Launch } else { FailureReason::Bundle }
    }
}

/// Folders of one attempt. What it alone has is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    folder: PathBuf,
    bundle: Option<Arc<Entry>>,
    /// Kept because the attempt uses them; their content is linked from the attempt's own folder.
    files: Vec<Arc<Entry>>,
}

impl Staged {
    /// The unpacked bundle.
    pub(crate) fn bundle(&self) -> Option<&Path> {
        self.bundle.as_deref().map(Entry::path)
    }

    /// The folder with the declared files.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = cache::remove(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "an attempt's folder stays until the next start");
        }
    }
}

/// Fetches, unpacks and lays out what `spec` names, in a folder of the attempt's own below `folder`.
pub(crate) async fn stage(
    cache: &Cache,
    dispatcher: &Dispatcher,
    folder: &Path,
    attempt: AttemptId,
    spec: &LaunchSpec,
) -> Result<Staged, Error> {
    let bundle = async {
        match &spec.code {
            Code::Udf { language, bundle } => {
                unpacked(cache, dispatcher, spec, *language, *bundle).await.map(Some)
            }
            Code::Operator { .. } => Ok(None),
        }
    };
    let files =
        try_join_all(spec.files.values().map(|blob| fetch::fetch(cache, dispatcher, spec.org, *blob)));
    let (bundle, files) = tokio::try_join!(bundle, async { files.await.map_err(Error::from) })?;
    let staged = Staged { folder: folder.join(attempt.to_string()), bundle, files };
    let path = staged.files();
    fs::create_dir_all(&path).map_err(disk(&path))?;
    // Whatever the umask: the sandbox's user has to be able to read it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(disk(&path))?;
    for (name, entry) in spec.files.keys().zip(&staged.files) {
        let link = path.join(&**name);
        fs::hard_link(entry.path(), &link).map_err(disk(&link))?;
    }
    Ok(staged)
}

async fn unpacked(
    cache: &Cache,
    dispatcher: &Dispatcher,
    spec: &LaunchSpec,
    language: Language,
    blob: Blob,
) -> Result<Arc<Entry>, Error> {
    let key = cache::Key { org: spec.org, sha256: blob.sha256, form: language.into() };
    cache
        .get(key, async |folder: &Path| {
            let archive = fetch::fetch(cache, dispatcher, spec.org, blob).await?;
            let (folder, shown) = (folder.to_owned(), folder);
            let unpacking = spawn_blocking(move || {
                let file = fs::File::open(archive.path()).map_err(disk(archive.path()))?;
                Ok(bundle::unpack(file, &folder, language, &Rules::at_worker())?)
            });
            // Fails when this process stops in the middle.
            unpacking.await.map_err(|error| disk(shown)(io::Error::other(error)))?
        })
        .await
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, source }
}
