//! Bundle and files: fetched from the addresses of the order, hashed and counted while they arrive.

use std::{fs::Permissions, io, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use reqwest::{Client, StatusCode};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt as _,
};
use trace_bundle::Rules;
use trace_contracts::{
    Secret,
    digest::Sha256Hasher,
    wire::{
        launch::RedeemReply,
        limit::BLOB_BYTES,
        worker::{Blob, Code},
    },
};
use trace_plane::{Trust, backoff::Retrying};
use trace_surface::{bundle, folders};

/// One blob arrives within this time.
const TIMEOUT: Duration = Duration::from_secs(300);
/// What is broken or away is tried again for this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Beside the folders, and gone before the code starts.
const ARCHIVE: &str = "/task/bundle.zip";

/// Why something is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not have it.
    #[error("the platform has no content {}; deploy the DAG again", .0.sha256)]
    Missing(Blob),
    /// It is not what was declared.
    #[error("content {} is not what its hash and its size of {} bytes say", .0.sha256, .0.size)]
    Mismatch(Blob),
    /// The bundle holds what it must not.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The store can't be asked. The address is not shown: it opens the content.
    #[error("content {} did not arrive: {}", .0.sha256, .1)]
    Store(Blob, String),
    /// The disk of this container.
    #[error("{0}: {1}")]
    Disk(&'static str, io::Error),
}

impl Error {
    /// Whether it is the fault of what was deployed.
    #[must_use]
    pub const fn is_the_bundles(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Mismatch(_) => true,
            Self::Bundle(error) => !error.is_ours(),
            Self::Store(..) | Self::Disk(..) => false,
        }
    }
}

/// Fetches and unpacks what the order names into the folders that the code sees.
///
/// # Errors
/// See [`Error`].
pub async fn stage(order: &RedeemReply, trust: &Trust) -> Result<(), Error> {
    let http = trust.http_client(TIMEOUT);
    let disk = |path: &'static str| move |error| Error::Disk(path, error);
    fs::create_dir_all(folders::FILES).await.map_err(disk(folders::FILES))?;
    for (name, blob) in &order.launch.files {
        let Some(address) = order.files.get(name) else { return Err(Error::Missing(*blob)) };
        fetch(&http, *blob, address, &Path::new(folders::FILES).join(&**name)).await?;
    }
    let (Code::Udf { language, bundle: blob }, Some(address)) = (&order.launch.code, &order.bundle) else {
        return fs::create_dir_all(folders::BUNDLE).await.map_err(disk(folders::BUNDLE));
    };
    fetch(&http, *blob, address, Path::new(ARCHIVE)).await?;
    let archive = std::fs::File::open(ARCHIVE).map_err(disk(ARCHIVE))?;
    // Nothing else happens in this process yet.
    bundle::unpack(archive, Path::new(folders::BUNDLE), *language, &Rules::at_worker())?;
    fs::remove_file(ARCHIVE).await.map_err(disk(ARCHIVE))
}

async fn fetch(http: &Client, blob: Blob, address: &Secret<String>, path: &Path) -> Result<(), Error> {
    if blob.size > BLOB_BYTES {
        return Err(Error::Mismatch(blob));
    }
    let mut retrying = Retrying::new(PATIENCE);
    loop {
        match try_fetch(http, blob, address, path).await {
            Err(Error::Store(..) | Error::Mismatch(_)) if retrying.again().await => {}
            other => return other,
        }
    }
}

async fn try_fetch(http: &Client, blob: Blob, address: &Secret<String>, path: &Path) -> Result<(), Error> {
    let away = |error: reqwest::Error| Error::Store(blob, error.without_url().to_string());
    let disk = |error| Error::Disk("the folder of the task", error);
    let mut response = http.get(address.expose()).send().await.map_err(away)?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::NOT_FOUND => return Err(Error::Missing(blob)),
        status => return Err(Error::Store(blob, format!("the object store answers {status}"))),
    }
    let mut file = File::create(path).await.map_err(disk)?;
    let (mut hasher, mut left) = (Sha256Hasher::default(), blob.size);
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        left = left.checked_sub(chunk.len() as u64).ok_or(Error::Mismatch(blob))?;
        hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    file.set_permissions(Permissions::from_mode(0o444)).await.map_err(disk)?;
    if left == 0 && hasher.finish() == blob.sha256 { Ok(()) } else { Err(Error::Mismatch(blob)) }
}
