//! Folders by descriptor. Every path is resolved beneath an open folder, without following a
//! symbolic link, so that no key and nothing that lies on the disk leads out of it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2, renameat},
    sys::stat::{Mode, mkdirat},
    unistd::{UnlinkatFlags, unlinkat},
};

const FOLDER_MODE: Mode = Mode::S_IRWXU;
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// An open folder.
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder that everything else lies beneath.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        File::open(path).map(|file| Self(file.into()))
    }

    fn open(&self, path: &str, flags: OFlag, mode: Mode) -> io::Result<OwnedFd> {
        let beneath = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(mode).resolve(beneath);
        Ok(openat2(self.0.as_fd(), path, how)?)
    }

    /// The folder at a relative path.
    pub(super) fn folder(&self, path: &str) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        self.open(if path.is_empty() { "." } else { path }, flags, Mode::empty()).map(Self)
    }

    /// The same, made where it is missing.
    pub(super) fn make_folder(&self, path: &str) -> io::Result<Self> {
        let mut folder = self.folder("")?;
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            folder = match folder.folder(segment) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => folder.make_child(segment)?,
                result => result?,
            };
        }
        Ok(folder)
    }

    fn make_child(&self, segment: &str) -> io::Result<Self> {
        match mkdirat(self.0.as_fd(), segment, FOLDER_MODE) {
            Ok(()) => self.sync()?,
            Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.folder(segment)
    }

    /// A file at a relative path, for reading.
    pub(super) fn file(&self, path: &str) -> io::Result<File> {
        self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()).map(File::from)
    }

    /// A new file in this folder, for reading and writing.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        self.open(name, flags, FILE_MODE).map(File::from)
    }

    /// Moves a file of this folder over `name` in another, atomically and for good.
    pub(super) fn rename(&self, from: &str, to: &Self, name: &str) -> io::Result<()> {
        renameat(self.0.as_fd(), from, to.0.as_fd(), name)?;
        to.sync()
    }

    /// Removes a file.
    pub(super) fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(self.0.as_fd(), name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes an empty folder.
    pub(super) fn remove_folder(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(self.0.as_fd(), name, UnlinkatFlags::RemoveDir)?)
    }

    /// The names in this folder, in no order; those that are not UTF-8 were not written by this store.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut dir = Dir::from_fd(self.folder("")?.0)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Makes what changed in this folder survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(self.0.as_fd())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), inside.path().join("file")).unwrap();
        let folder = Folder::root(inside.path()).unwrap();
        let up = format!("../{}/secret", outside.path().file_name().unwrap().to_str().unwrap());
        for path in ["link/secret", "file", "/etc/passwd", up.as_str(), ".."] {
            assert!(folder.file(path).is_err(), "{path} must not open");
            assert!(folder.folder(path).is_err(), "{path} must not open");
        }
        assert!(folder.make_folder("link/made").is_err());
        assert!(!outside.path().join("made").exists());
    }

    #[test]
    fn folders_are_made_once_and_listed() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::root(root.path()).unwrap();
        folder.make_folder("a/b/c").unwrap();
        folder.make_folder("a/b/d").unwrap().create("f").unwrap();
        let mut names = folder.folder("a/b").unwrap().names().unwrap();
        names.sort();
        assert_eq!(names, ["c", "d"]);
        assert!(folder.folder("a/b/d").unwrap().create("f").is_err(), "files are not overwritten");
    }
}
