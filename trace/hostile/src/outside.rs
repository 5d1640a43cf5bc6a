//! What is looked at from outside: processes, files, the object store.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use memchr::memmem;

use crate::{bundles::ESCAPED, round::End, scene::Scene, vector::Seen};

/// Larger than any file that an attack leaves.
const MAX_BYTES: u64 = 4 << 20;
/// Links are not followed and no folder of a platform is deeper.
const MAX_DEPTH: usize = 16;
/// Of the log of one attempt, with what each line costs.
const MAX_LOG: usize = 1 << 20;

/// Processes of this name outlived their task.
pub fn orphans(scene: &Scene<'_>, end: &End) -> anyhow::Result<Seen> {
    let found = processes(scene.world.orphan())?;
    Ok(match (end.succeeded, found.len()) {
        (true, 0) => Seen::refused("absent", "the task succeeded, and nothing of it runs"),
        (false, 0) => Seen::untried(format!("the task ended with {}: {}", end.outcome, end.detail)),
        (_, some) => Seen::got(format!("{some} processes outlived their task")),
    })
}

fn processes(name: &str) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir("/proc")?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_it =
        |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
    Ok(entries.filter(is_it).collect())
}

/// A process of this machine with that name; it ends when this is dropped.
pub struct Orphan(Child);

impl Orphan {
    /// Starts one.
    pub fn plant(scene: &Scene<'_>) -> anyhow::Result<Self> {
        let program = scene.world.folder().join(scene.world.orphan());
        // A name of its own for a program that waits.
        fs::copy("/bin/sleep", &program)?;
        let child = Command::new(program).arg("60").stdin(Stdio::null()).spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _status = self.0.wait();
    }
}

/// An output that shows a secret of the machine.
pub fn leaked(scene: &Scene<'_>, end: &End) -> anyhow::Result<Seen> {
    let found =
        search(&scene.platform.data().join("objects"), &mut |path| holds(path, scene.world.secret()))?;
    Ok(match (found, end.succeeded) {
        (Some(_), _) => Seen::got("the object store holds a secret of the machine"),
        (None, true) => Seen::untried("the task succeeded, and left no secret"),
        (None, false) => end.as_seen(),
    })
}

/// A file that a bundle wrote where it has no business.
pub fn escaped(scene: &Scene<'_>, end: &End) -> anyhow::Result<Seen> {
    let found =
        search(scene.world.folder(), &mut |path| Ok(path.file_name().is_some_and(|name| name == ESCAPED)))?;
    match found {
        Some(path) => {
            fs::remove_file(&path)?;
            Ok(Seen::got("the bundle wrote a file outside of its folder"))
        }
        None if end.succeeded => Ok(Seen::untried("it was accepted, and no file was found")),
        None => Ok(end.as_seen()),
    }
}

/// What the one attack of a task has told.
pub fn told(_: &Scene<'_>, end: &End) -> anyhow::Result<Seen> {
    let untold = || Seen::untried(format!("nothing was told; the task ended with {}", end.outcome));
    Ok(end.told().into_values().next().unwrap_or_else(untold))
}

/// A log that is longer than one attempt may have.
pub fn flooded(_: &Scene<'_>, end: &End) -> anyhow::Result<Seen> {
    let bytes: usize = end.log.iter().map(String::len).sum();
    let is_cut = end.log.iter().any(|line| line.starts_with("log truncated"));
    Ok(match (bytes > MAX_LOG, is_cut) {
        (true, _) => Seen::got(format!("{bytes} bytes were kept")),
        (false, true) => Seen::refused("log truncated", format!("{bytes} bytes were kept")),
        (false, false) => Seen::refused("log cut short", format!("{bytes} bytes were kept")),
    })
}

/// The first file below `folder` that is looked for.
pub fn search(
    folder: &Path,
    is_it: &mut dyn FnMut(&Path) -> io::Result<bool>,
) -> io::Result<Option<PathBuf>> {
    search_below(folder, is_it, MAX_DEPTH)
}

fn search_below(
    folder: &Path,
    is_it: &mut dyn FnMut(&Path) -> io::Result<bool>,
    depth: usize,
) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_file() && ignoring_gone(is_it(&path))? {
            return Ok(Some(path));
        }
        if kind.is_dir() && depth > 0 {
            let found = search_below(&path, is_it, depth - 1);
            if let Some(found) = ignoring_gone(found)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// A platform that runs removes files while it is looked at.
fn ignoring_gone<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}

/// Whether a file holds these words.
pub fn holds(path: &Path, words: &str) -> io::Result<bool> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok(memmem::find(&content, words.as_bytes()).is_some())
}

/// Which of these a file of any size holds.
pub fn held<'a>(path: &Path, words: &[&'a str]) -> io::Result<Vec<&'a str>> {
    let content = fs::read(path)?;
    Ok(words.iter().copied().filter(|word| memmem::find(&content, word.as_bytes()).is_some()).collect())
}
