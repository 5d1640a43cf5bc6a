//! What must hold on the ordinary platform after every attack, seen from outside.

use std::{
    fs,
    time::{Duration, Instant},
};

use trace::client::RunFilter;

use crate::scene::Scene;

/// Everything that does not hold, in words.
pub async fn wrong(scene: &Scene<'_>) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    if let Err(error) = scene.platform.client("main")?.runs(&RunFilter { dag: None, limit: 1 }).await {
        wrong.push(format!("the service does not answer any more: {error}"));
    }
    wrong.extend(left(scene).await?);
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", scene.platform.pid()))?;
    if mounts.contains(&*scene.platform.data().to_string_lossy()) {
        wrong.push("a mount is left".to_owned());
    }
    if fs::read_to_string(scene.world.secret_file())? != scene.world.secret() {
        wrong.push("a file of the machine was changed".to_owned());
    }
    Ok(wrong)
}

/// How long a worker may take to clear away what it has already told the end of.
const CLEARED_WITHIN: Duration = Duration::from_secs(20);

/// What is left of attempts.
async fn left(scene: &Scene<'_>) -> anyhow::Result<Vec<String>> {
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    let start = Instant::now();
    loop {
        let processes = tasks_of(scene.platform.pid())?;
        let processes =
            processes.into_iter().map(|(pid, line)| format!("the task's process {pid} {line} is left"));
        let attempts = fs::read_dir(scene.platform.data().join("worker/attempts"));
        let folders = attempts.into_iter().flatten().flatten();
        let folders = folders.map(|entry| format!("{} is left of an attempt", entry.path().display()));
        let left: Vec<String> = processes.chain(folders).collect();
        if left.is_empty() || start.elapsed() > CLEARED_WITHIN {
            return Ok(left);
        }
        looks.tick().await;
    }
}

/// Processes below the platform that are shown the bundle of an attempt.
fn tasks_of(platform: u32) -> anyhow::Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        if mounts.contains(" /task/bundle ") && is_below(pid, platform) {
            found.push((pid, line));
        }
    }
    Ok(found)
}

fn is_below(mut pid: u32, ancestor: u32) -> bool {
    while pid > 1 {
        if pid == ancestor {
            return true;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        pid = parent.and_then(|parent| parent.trim().parse().ok()).unwrap_or(0);
    }
    false
}
