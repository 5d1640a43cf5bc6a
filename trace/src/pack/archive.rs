//! Zips that depend on content only: sorted names, fixed times, no owners, no links. The same folder
//! gives the same bytes on every machine, and so the same hash and the same DAG version.

use std::{
    fs,
    io::{self, Cursor, Read as _, Write as _},
    path::{Path, PathBuf},
};

use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

/// Files in one bundle.
const MAX_FILES: usize = 4096;
/// Bytes in one bundle, before compression.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Names in a path; no worker unpacks deeper ones.
const MAX_DEPTH: usize = 16;
/// Bytes in a path.
const MAX_PATH_BYTES: usize = 512;
/// Bytes in one name of a path.
const MAX_NAME_BYTES: usize = 200;
/// What builds and tools leave behind.
const IGNORED: [&str; 3] = ["__pycache__", "target", ".git"];

/// Why a folder can't become a bundle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in it can't be read.
    #[error("{} can't be read: {source}", .path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A link, which could lead anywhere.
    #[error("{} is a link, and bundles hold no links: put the file itself there", .0.display())]
    Link(PathBuf),
    /// A pipe, socket or device.
    #[error("{} is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// A name that can't be unpacked everywhere.
    #[error(
        "{} has a name that bundles don't hold: use UTF-8 without `\\`, `:` or control characters, at most {MAX_NAME_BYTES} bytes",
        .0.display()
    )]
    Name(PathBuf),
    /// Too many files.
    #[error("{} holds more than {MAX_FILES} files, the most in one bundle", .0.display())]
    TooMany(PathBuf),
    /// Too many bytes.
    #[error("{} holds more than {} MiB, the most in one bundle", .0.display(), MAX_BYTES >> 20)]
    TooLarge(PathBuf),
    /// Too deep.
    #[error("{} lies deeper than {MAX_DEPTH} folders, the most in one bundle", .0.display())]
    TooDeep(PathBuf),
    /// The zip can't be written.
    #[error("the bundle can't be written: {0}")]
    Zip(#[from] zip::result::ZipError),
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

impl Entry {
    /// A file to read.
    #[must_use]
    pub fn file(name: &str, content: Vec<u8>) -> Self {
        Self { name: name.to_owned(), mode: 0o644, content }
    }

    /// A file to run.
    #[must_use]
    pub fn executable(name: &str, content: Vec<u8>) -> Self {
        Self { name: name.to_owned(), mode: 0o755, content }
    }
}

/// The zip of these files.
///
/// # Errors
/// When two have one name, or the zip gets too large for its format.
pub fn zip(entries: &[Entry]) -> Result<Vec<u8>, Error> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in sorted {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(6))
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(entry.mode);
        zip.start_file(&*entry.name, options)?;
        zip.write_all(&entry.content).map_err(zip::result::ZipError::from)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// The zip of a folder, without what builds and tools leave behind (`__pycache__`, `target`, `.git`).
///
/// # Errors
/// When something in it can't be packed; see [`Error`].
pub fn zip_folder(folder: &Path) -> Result<Vec<u8>, Error> {
    let mut walk = Walk { root: folder, entries: Vec::new(), bytes: 0 };
    walk.folder(folder, 0)?;
    zip(&walk.entries)
}

struct Walk<'a> {
    root: &'a Path,
    entries: Vec<Entry>,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), Error> {
        if depth == MAX_DEPTH {
            return Err(Error::TooDeep(folder.to_owned()));
        }
        let unreadable = |source| Error::Read { path: folder.to_owned(), source };
        for child in fs::read_dir(folder).map_err(unreadable)? {
            let child = child.map_err(unreadable)?;
            if IGNORED.iter().any(|ignored| child.file_name() == *ignored) {
                continue;
            }
            // Of the entry itself: a link is not followed here.
            let kind = child.file_type().map_err(unreadable)?;
            match () {
                () if kind.is_symlink() => return Err(Error::Link(child.path())),
                () if kind.is_dir() => self.folder(&child.path(), depth + 1)?,
                () if kind.is_file() => self.file(&child.path())?,
                () => return Err(Error::Special(child.path())),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Error> {
        if self.entries.len() == MAX_FILES {
            return Err(Error::TooMany(self.root.to_owned()));
        }
        let name = self.name(path)?;
        let content = read(path, MAX_BYTES - self.bytes)?;
        self.bytes += content.len() as u64;
        if self.bytes >= MAX_BYTES {
            return Err(Error::TooLarge(self.root.to_owned()));
        }
        self.entries.push(Entry::file(&name, content));
        Ok(())
    }

    fn name(&self, path: &Path) -> Result<String, Error> {
        let relative = path.strip_prefix(self.root).ok().and_then(Path::to_str);
        relative.filter(|name| is_plain(name)).map(str::to_owned).ok_or_else(|| Error::Name(path.to_owned()))
    }
}

/// Whether a worker unpacks a file of this name.
fn is_plain(path: &str) -> bool {
    path.len() <= MAX_PATH_BYTES
        && path.split('/').all(|name| name.len() <= MAX_NAME_BYTES)
        && !path.contains(|c: char| c == '\\' || c == ':' || c.is_control())
}

/// A file's content, up to `most` bytes.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    super::open_plain(path)
        .and_then(|file| file.take(most).read_to_end(&mut content))
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, os::unix::fs::symlink};

    use zip::ZipArchive;

    use super::*;

    fn names(zip: &[u8]) -> Vec<String> {
        let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
        let mut names: Vec<String> =
            (0..archive.len()).map(|n| archive.by_index(n).unwrap().name().unwrap().into_owned()).collect();
        names.sort();
        names
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["main.py", "lib/b.py", "lib/a.py", "__pycache__/x.pyc", "lib/__pycache__/y", ".git/HEAD"]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    #[test]
    fn the_same_content_is_the_same_zip() {
        let (one, two) = (folder(), folder());
        let earlier = std::time::SystemTime::UNIX_EPOCH;
        fs::File::open(two.path().join("main.py")).unwrap().set_modified(earlier).unwrap();
        let zip = zip_folder(one.path()).unwrap();
        assert_eq!(zip, zip_folder(two.path()).unwrap());
        assert_eq!(names(&zip), ["lib/a.py", "lib/b.py", "main.py"]);
        fs::write(two.path().join("main.py"), "other").unwrap();
        assert_ne!(zip, zip_folder(two.path()).unwrap());
    }

    #[test]
    fn links_pipes_and_odd_names_are_refused() {
        let with = |spoil: &dyn Fn(&Path)| {
            let folder = folder();
            spoil(folder.path());
            zip_folder(folder.path()).unwrap_err()
        };
        let link = with(&|path| symlink("/etc/hostname", path.join("l")).unwrap());
        assert!(matches!(link, Error::Link(_)), "{link}");
        let folder_link = with(&|path| symlink("/etc", path.join("l")).unwrap());
        assert!(matches!(folder_link, Error::Link(_)), "{folder_link}");
        let pipe = with(&|path| nix::unistd::mkfifo(&path.join("p"), nix::sys::stat::Mode::S_IRWXU).unwrap());
        assert!(matches!(pipe, Error::Special(_)), "{pipe}");
        for name in [&b"\xff"[..], b"a\nb", b"a:b", b"a\\b", &[b'x'; 201]] {
            let odd = with(&|path| fs::write(path.join(OsStr::from_bytes(name)), "").unwrap());
            assert!(matches!(odd, Error::Name(_)), "{odd}");
        }
    }

    #[test]
    fn depth_and_count_have_bounds() {
        let deep = tempfile::tempdir().unwrap();
        fs::create_dir_all(deep.path().join("d/".repeat(MAX_DEPTH))).unwrap();
        assert!(matches!(zip_folder(deep.path()), Err(Error::TooDeep(_))));

        let many = tempfile::tempdir().unwrap();
        for number in 0..=MAX_FILES {
            fs::write(many.path().join(number.to_string()), "").unwrap();
        }
        assert!(matches!(zip_folder(many.path()), Err(Error::TooMany(_))));
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::File::create(folder.path().join("main.py")).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(zip_folder(folder.path()), Err(Error::TooLarge(_))));
    }

    #[test]
    fn an_executable_stays_one() {
        let zip = zip(&[Entry::executable("main", b"x".to_vec())]).unwrap();
        let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
        assert_eq!(archive.by_name("main").unwrap().unix_mode().unwrap() & 0o777, 0o755);
    }
}
