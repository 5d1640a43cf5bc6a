//! Clocks and disks that the harness turns: a library that each process is started with, and a file
//! for each process that says how far off its clock and how slow its disk is.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};

const SOURCE: &str = include_str!("../shim/shim.c");

/// The compiled library.
#[derive(Debug, Clone)]
pub struct Shim(PathBuf);

/// What one process is told about its clock and its disk.
#[derive(Debug)]
pub struct Dials {
    path: PathBuf,
    file: File,
    /// Seconds by which the clock is off for good.
    set_to: AtomicI64,
}

#[derive(Debug, Clone, Copy)]
enum Dial {
    ClockOffsetNanos = 0,
    SyncDelayMicros = 8,
    WriteDelayMicros = 16,
}

impl Shim {
    /// Compiles it into `folder`, with the machine's C compiler.
    ///
    /// # Errors
    /// When there is none, or it fails.
    pub fn build(folder: &Path) -> anyhow::Result<Self> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        fs::write(&source, SOURCE)?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .context("a C compiler is needed")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::set_permissions(&library, fs::Permissions::from_mode(0o755))?;
        Ok(Self(library))
    }

    /// What a process is started with, to be turned with these dials.
    #[must_use]
    pub fn environment(&self, dials: &Dials) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.0.clone()), ("TRACE_CHAOS_SHIM", dials.path.clone())]
    }
}

impl Dials {
    /// Dials in a new file, all at nothing.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        fs::write(path, [0; 24])?;
        // PostgreSQL runs as another user.
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
        Ok(Self {
            path: path.to_owned(),
            file: File::options().write(true).open(path)?,
            set_to: AtomicI64::new(0),
        })
    }

    /// Moves the time of day by so many seconds from what it was last set to; 0 moves it back.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn clock(&self, seconds: i64) -> anyhow::Result<()> {
        let off = self.set_to.load(Ordering::Relaxed) + seconds;
        self.turn(Dial::ClockOffsetNanos, off * 1_000_000_000)
    }

    /// Sets the clock forward by so many seconds, for good.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        self.set_to.fetch_add(seconds, Ordering::Relaxed);
        self.clock(0)
    }

    /// Makes the disk slower.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn slow_disk(&self, delay: Duration) -> anyhow::Result<()> {
        let micros = i64::try_from(delay.as_micros())?;
        self.turn(Dial::SyncDelayMicros, micros)?;
        self.turn(Dial::WriteDelayMicros, micros / 10)
    }

    fn turn(&self, dial: Dial, value: i64) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&value.to_ne_bytes(), dial as u64)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_moved_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let shim = Shim::build(folder.path()).unwrap();
        let dials = Dials::new(&folder.path().join("dials")).unwrap();
        let seconds = || {
            let output =
                Command::new("date").args(["-u", "+%s"]).envs(shim.environment(&dials)).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
        };
        let now = chrono::Utc::now().timestamp();
        dials.clock(1_000_000).unwrap();
        assert!(seconds() >= now + 1_000_000);
        dials.clock(-1_000_000).unwrap();
        assert!(seconds() < now - 900_000);
        dials.clock(0).unwrap();
        assert!((now..now + 1_000).contains(&seconds()));
    }
}
