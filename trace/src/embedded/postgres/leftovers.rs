//! Processes of an earlier start. When `trace up` is killed, the kernel tells PostgreSQL to shut down,
//! which takes a moment; when PostgreSQL itself is killed, its sessions notice and end. Either way the
//! next start waits, and never runs a second server on the same files.

use std::{os::unix::fs::MetadataExt, path::Path, time::Duration};

use tokio::time::{Instant, interval};

use super::Error;

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until no PostgreSQL process works in this folder.
pub(super) async fn wait_until_gone(cluster: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    let mut again = interval(Duration::from_millis(50));
    loop {
        again.tick().await;
        let running = running_in(cluster);
        let Some(first) = running.first().copied() else { return Ok(()) };
        if Instant::now() >= deadline {
            let processes: Vec<_> = running.iter().map(i32::to_string).collect();
            return Err(Error::StillRunning {
                folder: cluster.to_owned(),
                processes: processes.join(", "),
                first,
            });
        }
    }
}

/// Every process of PostgreSQL works in its cluster's folder. The server, which has the lowest number
/// as a rule, comes first.
fn running_in(cluster: &Path) -> Vec<i32> {
    let Ok(folder) = std::fs::metadata(cluster) else { return Vec::new() };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut running: Vec<_> = processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let works_in = std::fs::metadata(entry.path().join("cwd")).ok()?;
            let is_here = (works_in.dev(), works_in.ino()) == (folder.dev(), folder.ino());
            let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            (is_here && name.starts_with("postgres")).then_some(pid)
        })
        .collect();
    running.sort_unstable();
    running
}
