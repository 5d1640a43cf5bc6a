//! Sends what the platform does not have yet.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use trace_contracts::wire::worker::Blob;

use super::{Content, Item};
use crate::{
    client::{self, Client},
    output::{progress::Progress, text},
};

/// What became of the items of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// What each path stands for, as a deploy names it.
    pub blobs: BTreeMap<String, Blob>,
    /// How many were sent.
    pub uploaded: usize,
    /// How many were there already.
    pub unchanged: usize,
}

/// Sends each item that the platform doesn't have.
///
/// # Errors
/// When the platform refuses or does not answer, or a file can't be read.
pub async fn upload(
    client: &Client,
    items: &[Item],
    progress: &Arc<Progress>,
) -> Result<Stored, client::Error> {
    let mut stored = Stored::default();
    for item in items {
        if client.has_blob(item.blob.sha256).await? {
            stored.unchanged += 1;
        } else {
            send(client, item, progress).await?;
            stored.uploaded += 1;
        }
        stored.blobs.insert(item.path.clone(), item.blob);
    }
    Ok(stored)
}

async fn send(client: &Client, item: &Item, progress: &Arc<Progress>) -> Result<(), client::Error> {
    let content = match &item.content {
        Content::Bytes(bytes) => client::Content::Bytes(bytes.clone()),
        Content::File(path) => client::Content::File(path),
    };
    let (sent, total) = (AtomicU64::new(0), item.blob.size);
    let (shown, path) = (Arc::clone(progress), text::printable(&item.path).into_owned());
    let on_piece = move |piece| {
        let sent = sent.fetch_add(piece, Ordering::Relaxed) + piece;
        shown.draw(&[format!("uploading {path}  {} of {}", text::bytes(sent), text::bytes(total))]);
    };
    client.put_blob(item.blob, &content, on_piece).await?;
    progress.tell(&format!("uploaded {}  {}", text::printable(&item.path), text::bytes(total)));
    Ok(())
}
