//! What must hold on the ordinary platform after every attack, seen from outside.

use std::fs;

use trace::client::RunFilter;

use crate::scene::Scene;

/// Everything that does not hold, in words.
pub async fn wrong(scene: &Scene<'_>) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    if let Err(error) = scene.platform.client("main")?.runs(&RunFilter { dag: None, limit: 1 }).await {
        wrong.push(format!("the service does not answer any more: {error}"));
    }
    let left: Vec<String> =
        tasks_of(scene.platform.pid())?.into_iter().map(|(pid, line)| format!("{pid} {line}")).collect();
    if !left.is_empty() {
        wrong.push(format!("processes of tasks are left: {}", left.join(", ")));
    }
    let attempts = scene.platform.data().join("worker/attempts");
    if let Some(Ok(entry)) = fs::read_dir(attempts).ok().and_then(|mut entries| entries.next()) {
        wrong.push(format!("{} is left of an attempt", entry.path().display()));
    }
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", scene.platform.pid()))?;
    if mounts.contains(&*scene.platform.data().to_string_lossy()) {
        wrong.push("a mount is left".to_owned());
    }
    if fs::read_to_string(scene.world.secret_file())? != scene.world.secret() {
        wrong.push("a file of the machine was changed".to_owned());
    }
    Ok(wrong)
}

/// Processes below the platform that run a UDF.
fn tasks_of(platform: u32) -> anyhow::Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
        if line.contains("main.py") && is_below(pid, platform) {
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
