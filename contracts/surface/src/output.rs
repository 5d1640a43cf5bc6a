//! What a task left in `/out`, read without trusting anything in it.
//!
//! An [`OutputDir`] is only looked at when everything of the task is dead, so that what is looked at
//! can't change any more. Even so, nothing is opened by a path that could lead out of the folder:
//! `openat2` resolves it beneath, without links and without crossing a mount.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{FileStat, SFlag, fstat, fstatat},
};
use trace_contracts::ObjectKey;
use trace_controls::{Protection, stands};

/// Why the outputs of a task are not acceptable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A symbolic or hard link.
    #[error("/out/{0} is a link; write a file instead")]
    Link(String),
    /// A device, a socket or a named pipe.
    #[error("/out/{0} is neither a file nor a folder")]
    Special(String),
    /// A name that the object store would not take.
    #[error("/out/{0} has a name that can't be the key of an object; use letters, digits, `.`, `_` and `-`")]
    Name(String),
    /// Too many files and folders.
    #[error("/out holds more than {0} files and folders")]
    TooMany(usize),
    /// Too many folders in one another.
    #[error("/out/{path} lies deeper than {most} folders")]
    TooDeep {
        /// The folder.
        path: String,
        /// The limit.
        most: usize,
    },
    /// More bytes than the disk limit; files with holes may claim them without having them.
    #[error("the files in /out claim more than the {0} bytes of the disk limit")]
    TooLarge(u64),
    /// It can't be read.
    #[error("/out/{path} can't be read: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// How much is accepted.
#[derive(Debug, Clone, Copy)]
pub struct OutputLimits {
    /// Files and folders.
    pub files: usize,
    /// Folders in one another.
    pub depth: usize,
    /// Sizes of all files together, in bytes.
    pub bytes: u64,
}

/// The folder `/out` of a task that has ended. A sandbox's memory is freed when this is dropped.
pub struct OutputDir {
    root: OwnedFd,
    limits: OutputLimits,
}

/// One regular file in `/out`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Relative to `/out`; a valid [`ObjectKey`] by itself.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// Folders in one another that are read.
pub const MAX_DEPTH: usize = 8;

impl OutputDir {
    /// The folder that `root` was opened as. Nothing of the task runs any more.
    #[must_use]
    pub const fn new(root: OwnedFd, limits: OutputLimits) -> Self {
        Self { root, limits }
    }

    /// Every file, sorted by path. Empty folders count for nothing.
    ///
    /// # Errors
    /// At the first thing that is not acceptable; see [`Error`].
    pub fn files(&self) -> Result<Vec<OutputFile>, Error> {
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        let mut seen = 0;
        let mut bytes = 0u64;
        while let Some(folder) = folders.pop() {
            for (path, stat) in self.entries(&folder)? {
                seen += 1;
                if seen > self.limits.files {
                    return Err(Error::TooMany(self.limits.files));
                }
                match classify(&path, &stat)? {
                    Entry::Folder => {
                        if path.split('/').count() > self.limits.depth {
                            return Err(Error::TooDeep { path, most: self.limits.depth });
                        }
                        folders.push(path);
                    }
                    Entry::File { size } => {
                        bytes = bytes.saturating_add(size);
                        if bytes > self.limits.bytes {
                            return Err(Error::TooLarge(self.limits.bytes));
                        }
                        files.push(OutputFile { path, size });
                    }
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Opens a file that [`OutputDir::files`] listed.
    ///
    /// # Errors
    /// When it is not what was listed, or can't be read.
    pub fn open(&self, file: &OutputFile) -> Result<File, Error> {
        let failed = |errno: Errno| Error::Io { path: file.path.clone(), source: errno.into() };
        let fd = self.resolve(&file.path, OFlag::O_RDONLY | OFlag::O_NONBLOCK).map_err(failed)?;
        match classify(&file.path, &fstat(fd.as_fd()).map_err(failed)?)? {
            Entry::File { size } if size == file.size => Ok(File::from(fd)),
            _ => Err(failed(Errno::ESTALE)),
        }
    }

    /// The entries of a folder with their full relative paths, in no order.
    fn entries(&self, folder: &str) -> Result<Vec<(String, FileStat)>, Error> {
        let failed = |errno: Errno| Error::Io { path: folder.to_owned(), source: errno.into() };
        let here = if folder.is_empty() { "." } else { folder };
        let fd = self.resolve(here, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)?;
        let mut dir = Dir::from_fd(fd).map_err(failed)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if entry.file_type() == Some(Type::Directory) && matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if names.len() >= self.limits.files {
                return Err(Error::TooMany(self.limits.files));
            }
            names.push(name.to_owned());
        }
        names
            .into_iter()
            .map(|name| {
                let stat = fstatat(&dir, name.as_c_str(), stat_flags(AtFlags::AT_SYMLINK_NOFOLLOW))
                    .map_err(failed)?;
                let shown = name.to_string_lossy();
                let path = if folder.is_empty() { shown.into_owned() } else { format!("{folder}/{shown}") };
                if name.to_str().is_err() || path.parse::<ObjectKey>().is_err() {
                    return Err(Error::Name(path.chars().filter(|c| !c.is_control()).take(200).collect()));
                }
                Ok((path, stat))
            })
            .collect()
    }

    fn resolve(&self, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        let beneath = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV;
        let (flags, resolve) = open_flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, beneath);
        let how = OpenHow::new().flags(flags).resolve(resolve);
        openat2(&self.root, path, how)
    }
}

/// How an output is opened.
fn open_flags(flags: OFlag, resolve: ResolveFlag) -> (OFlag, ResolveFlag) {
    if stands(Protection::PlainOutputs) {
        (flags, resolve)
    } else {
        (flags & !OFlag::O_NOFOLLOW, ResolveFlag::empty())
    }
}

/// How an output is looked at.
fn stat_flags(flags: AtFlags) -> AtFlags {
    if stands(Protection::PlainOutputs) { flags } else { AtFlags::empty() }
}

enum Entry {
    Folder,
    File { size: u64 },
}

fn classify(path: &str, stat: &FileStat) -> Result<Entry, Error> {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => Ok(Entry::Folder),
        SFlag::S_IFREG if stat.st_nlink == 1 || !stands(Protection::PlainOutputs) => {
            Ok(Entry::File { size: u64::try_from(stat.st_size).unwrap_or(u64::MAX) })
        }
        SFlag::S_IFREG | SFlag::S_IFLNK => Err(Error::Link(path.to_owned())),
        _ => Err(Error::Special(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, fs, io::Read, os::unix::ffi::OsStrExt, path::Path};

    use super::*;

    const LIMITS: OutputLimits = OutputLimits { files: 10, depth: 3, bytes: 1000 };

    fn output(fill: impl FnOnce(&Path)) -> (tempfile::TempDir, OutputDir) {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let root = OwnedFd::from(File::open(folder.path()).unwrap());
        (folder, OutputDir::new(root, LIMITS))
    }

    #[test]
    fn files_are_listed_in_order_and_read() {
        let (_folder, output) = output(|out| {
            fs::create_dir_all(out.join("b/c")).unwrap();
            fs::create_dir(out.join("empty")).unwrap();
            fs::write(out.join("z.parquet"), "zz").unwrap();
            fs::write(out.join("b/c/part-0.parquet"), "abc").unwrap();
        });
        let files = output.files().unwrap();
        let listed: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.size)).collect();
        assert_eq!(listed, [("b/c/part-0.parquet", 3), ("z.parquet", 2)]);
        let mut content = String::new();
        output.open(&files[0]).unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "abc");
    }

    #[test]
    fn what_is_not_a_plain_file_is_refused() {
        type Fill = fn(&Path);
        let table: [(&str, Fill); 10] = [
            ("symbolic link", |out| std::os::unix::fs::symlink("/etc/passwd", out.join("x")).unwrap()),
            ("link to a folder", |out| std::os::unix::fs::symlink("/etc", out.join("x")).unwrap()),
            ("hard link", |out| {
                fs::write(out.join("a"), "").unwrap();
                fs::hard_link(out.join("a"), out.join("b")).unwrap();
            }),
            ("pipe", |out| {
                nix::unistd::mkfifo(&out.join("x"), nix::sys::stat::Mode::S_IRWXU).unwrap();
            }),
            ("socket", |out| drop(std::os::unix::net::UnixListener::bind(out.join("x")).unwrap())),
            ("bad name", |out| fs::write(out.join("a\nb"), "").unwrap()),
            ("name that is not text", |out| fs::write(out.join(OsStr::from_bytes(b"\xff")), "").unwrap()),
            ("too many", |out| (0..11).for_each(|n| fs::write(out.join(format!("f{n}")), "").unwrap())),
            ("too deep", |out| fs::create_dir_all(out.join("a/b/c/d")).unwrap()),
            ("holes", |out| File::create(out.join("x")).unwrap().set_len(1001).unwrap()),
        ];
        let mut messages = Vec::new();
        for (name, fill) in table {
            let (_folder, output) = output(fill);
            messages.push(format!("{name}: {}", output.files().unwrap_err()));
        }
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn opening_leads_nowhere_else() {
        let (_folder, output) = output(|out| {
            fs::create_dir(out.join("d")).unwrap();
            std::os::unix::fs::symlink("/etc", out.join("link")).unwrap();
        });
        for path in ["../etc/passwd", "/etc/passwd", "link/passwd", "d", "missing"] {
            let file = OutputFile { path: path.to_owned(), size: 0 };
            assert!(output.open(&file).is_err(), "{path}");
        }
    }
}
