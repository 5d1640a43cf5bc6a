//! Where a path of a DAG file leads. It stays in the file's folder: no `..`, no absolute path, and
//! no link on the way, so that a DAG somebody else wrote can't upload what it doesn't contain.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Why a path is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would leave the folder.
    #[error("`{0}` must be a plain path below the folder of the DAG file, without `..`")]
    Outside(String),
    /// A link lies on the way.
    #[error("`{path}` is refused: {} is a link. Put the file itself there", .link.display())]
    Link {
        /// The path, as written.
        path: String,
        /// The link.
        link: PathBuf,
    },
    /// Nothing is there.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// Something else is there.
    #[error("{} is not a {expected}", .path.display())]
    Kind {
        /// What is there.
        path: PathBuf,
        /// What should be.
        expected: &'static str,
    },
    /// It can't be looked at.
    #[error("{} can't be read: {source}", .path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder that a DAG file is in.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of this file.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_file(file: &Path) -> Result<Self, Error> {
        let parent = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let read = |source| Error::Read { path: parent.to_owned(), source };
        parent.canonicalize().map(Self).map_err(read)
    }

    /// A plain file in it.
    ///
    /// # Errors
    /// When the path leaves the folder, has a link in it, or is no file.
    pub fn file(&self, unverified: &str) -> Result<PathBuf, Error> {
        let (path, metadata) = self.follow(unverified)?;
        if metadata.is_file() { Ok(path) } else { Err(Error::Kind { path, expected: "file" }) }
    }

    /// A folder in it.
    ///
    /// # Errors
    /// When the path leaves the folder, has a link in it, or is no folder.
    pub fn directory(&self, unverified: &str) -> Result<PathBuf, Error> {
        let (path, metadata) = self.follow(unverified)?;
        if metadata.is_dir() { Ok(path) } else { Err(Error::Kind { path, expected: "folder" }) }
    }

    /// Walks the path step by step, and looks at each.
    fn follow(&self, unverified: &str) -> Result<(PathBuf, fs::Metadata), Error> {
        let outside = || Error::Outside(unverified.chars().take(200).collect());
        let mut path = self.0.clone();
        let mut metadata = None;
        for component in Path::new(unverified).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => continue,
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
            let found = look(&path)?;
            if found.file_type().is_symlink() {
                return Err(Error::Link { path: unverified.to_owned(), link: path });
            }
            metadata = Some(found);
        }
        metadata.map(|metadata| (path, metadata)).ok_or_else(outside)
    }
}

fn look(path: &Path) -> Result<fs::Metadata, Error> {
    fs::symlink_metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Missing(path.to_owned()),
        _ => Error::Read { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_stay_in_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let inside = outside.path().join("dags");
        fs::create_dir_all(inside.join("data")).unwrap();
        fs::write(inside.join("data/a.csv"), "a").unwrap();
        fs::write(inside.join("dag.yaml"), "").unwrap();
        symlink(outside.path().join("secret"), inside.join("link")).unwrap();
        symlink(outside.path(), inside.join("up")).unwrap();
        let folder = Folder::of_file(&inside.join("dag.yaml")).unwrap();

        assert!(folder.file("data/a.csv").is_ok());
        assert!(folder.file("./data/./a.csv").is_ok());
        assert!(folder.directory("data").is_ok());
        assert!(matches!(folder.file("data"), Err(Error::Kind { expected: "file", .. })));
        assert!(matches!(folder.directory("data/a.csv"), Err(Error::Kind { expected: "folder", .. })));
        assert!(matches!(folder.file("data/b.csv"), Err(Error::Missing(_))));
        assert!(matches!(folder.file("data/a.csv/x"), Err(Error::Missing(_))));
        for path in ["../secret", "data/../../secret", "/etc/hostname", "", ".", "data/../data/a.csv"] {
            assert!(matches!(folder.file(path), Err(Error::Outside(_))), "{path:?}");
        }
        for path in ["link", "up/secret", "up"] {
            assert!(matches!(folder.file(path), Err(Error::Link { .. })), "{path:?}");
        }
    }
}
