//! What all runs of one harness share.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{cluster::Template, shim::Shim};

/// Made once: a folder, the library that moves clocks and slows disks, a database cluster to copy, the
/// UDF.
#[derive(Debug)]
pub struct Workshop {
    pub(crate) folder: PathBuf,
    pub(crate) shim: Shim,
    pub(crate) template: Template,
    pub(crate) program: PathBuf,
}

impl Workshop {
    /// Sets it up in a folder. `program` is the harness itself: the services are subcommands of it.
    ///
    /// # Errors
    /// When a C compiler, `rustc` or PostgreSQL is missing.
    pub fn new(folder: &Path, program: &Path) -> anyhow::Result<Self> {
        // PostgreSQL runs as another user and has to get to its disk.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let workshop = Self {
            folder: folder.to_owned(),
            shim: Shim::build(folder)?,
            template: Template::new(folder)?,
            program: program.to_owned(),
        };
        workshop.build_udf()?;
        Ok(workshop)
    }

    /// The UDF's executable.
    pub(crate) fn udf(&self) -> PathBuf {
        self.folder.join("udf")
    }

    /// The folder of one run.
    #[must_use]
    pub fn folder_of(&self, seed: u64) -> PathBuf {
        self.folder.join(format!("seed-{seed}"))
    }

    /// One file, without dependencies, static.
    fn build_udf(&self) -> anyhow::Result<()> {
        let source = self.folder.join("udf-source");
        for (path, content) in [
            ("udf/main.rs", include_str!("../udf/main.rs")),
            ("src/behaviour.rs", include_str!("behaviour.rs")),
        ] {
            let path = source.join(path);
            fs::create_dir_all(path.parent().context("it lies in a folder")?)?;
            fs::write(path, content)?;
        }
        let output = Command::new("rustc")
            .args(["--edition=2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
            .arg(self.udf())
            .arg(source.join("udf/main.rs"))
            .output()
            .context("rustc is needed")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}
