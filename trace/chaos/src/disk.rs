//! Small disks that can be filled: a tmpfs for each process that keeps files.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use nix::{
    fcntl::{FallocateFlags, fallocate},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statvfs::statvfs,
};

/// A disk of its own, unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mounted,
    Folder,
}

impl Disk {
    /// Mounts an empty disk of so many bytes at a folder, which is made.
    ///
    /// # Errors
    /// When this process may not mount: the harness has to be root.
    pub fn mount(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(path)?;
        let size = format!("size={bytes},mode=755");
        mount(Some("trace-chaos"), path, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(&*size))
            .with_context(|| {
                format!("a disk can't be mounted at {}: chaos runs need root", path.display())
            })?;
        Ok(Self { path: path.to_owned(), kind: Kind::Mounted })
    }

    /// A folder that is no disk of its own, for runs in which none is filled.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn folder(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), kind: Kind::Folder })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes every free byte.
    ///
    /// # Errors
    /// When the disk can't be asked what is free.
    pub fn fill(&self) -> anyhow::Result<()> {
        let ballast = File::create(self.ballast())?;
        let mut taken = 0;
        // What others write meanwhile makes a try fail; the next one takes less.
        for _ in 0..1_000 {
            let about = statvfs(&self.path)?;
            let free = i64::try_from(about.blocks_free() * about.fragment_size())?;
            if free == 0 {
                break;
            }
            if fallocate(&ballast, FallocateFlags::empty(), taken, free).is_ok() {
                taken += free;
            }
        }
        Ok(())
    }

    /// Gives the bytes back.
    ///
    /// # Errors
    /// When the ballast can't be removed.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.path.join(".ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.kind == Kind::Folder {
            return;
        }
        // Lazily, so that what still closes its files does not keep it in the tree.
        if let Err(error) = umount2(&self.path, MntFlags::MNT_DETACH) {
            tracing::warn!(path = %self.path.display(), %error, "a disk stays mounted");
        }
    }
}
