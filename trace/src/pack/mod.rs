//! Packs what a DAG file names: its files as they are, its UDF folders as zips, all by content hash.
//!
//! The file is read leniently, only to find those paths; whether it is a good DAG is the platform's
//! to say. Paths are relative to the DAG file, and stay in its folder.

mod archive;
mod cargo;
mod place;
mod references;
mod upload;

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use trace_contracts::{
    FieldError, Sha256,
    digest::Sha256Hasher,
    wire::{
        limit,
        worker::{Blob, Language},
    },
};

use self::references::{Kind, Reference};
pub use self::{
    archive::{Entry, zip, zip_folder},
    cargo::build_udf,
    place::Folder,
    upload::{Stored, upload},
};
use crate::output::{diagnostics::Source, progress::Progress};

/// Why something can't be packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("{path} can't be read: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The DAG file is too large.
    #[error("{} is larger than {} bytes, the most that a DAG file may have", .0.display(), limit::DAG_YAML_BYTES)]
    TooLong(PathBuf),
    /// The DAG file is not text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// A path of the file leads nowhere good.
    #[error(transparent)]
    Place(#[from] place::Error),
    /// A folder can't become a bundle.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A Rust UDF does not build.
    #[error(transparent)]
    Cargo(#[from] cargo::Error),
    /// A Python UDF has nothing to start.
    #[error("{} has no main.py: a Python UDF starts there", .0.display())]
    NoMain(PathBuf),
    /// A blob is too large.
    #[error("{} has {size} bytes; the most is {}", .path.display(), limit::BLOB_BYTES)]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
        /// In bytes.
        size: u64,
    },
    /// One or more paths of the DAG file can't be packed; each with its place.
    #[error("what {name} names can't be packed\n{rendered}")]
    References {
        /// The DAG file.
        name: String,
        /// The errors, as a compiler prints them.
        rendered: String,
    },
}

/// A DAG file with everything that it names.
#[derive(Debug)]
pub struct Package {
    /// The file as written.
    pub yaml: String,
    /// What each path stands for.
    pub items: Vec<Item>,
}

/// One path of the DAG file, packed.
#[derive(Debug)]
pub struct Item {
    /// As written in the file.
    pub path: String,
    /// Its hash and size.
    pub blob: Blob,
    /// Its bytes.
    pub content: Content,
}

/// Where the bytes of an item are.
#[derive(Debug)]
pub enum Content {
    /// A zip that was made just now.
    Bytes(Bytes),
    /// A file, sent as it is.
    File(PathBuf),
}

/// Reads a DAG file and packs what it names. Rust UDFs are built.
///
/// # Errors
/// When the file can't be read, or something that it names can't be packed; then every such thing
/// is told.
pub fn package(file: &Path, progress: &Progress) -> Result<Package, Error> {
    let yaml = read_yaml(file)?;
    let folder = Folder::of_file(file)?;
    let mut items = Vec::new();
    let mut errors = Vec::new();
    for reference in references::find(&yaml) {
        match pack(&folder, &reference, progress) {
            Ok(item) => items.push(item),
            Err(error) => errors.push(located(&reference, &error)),
        }
    }
    if errors.is_empty() {
        return Ok(Package { yaml, items });
    }
    let name = file.display().to_string();
    let rendered = Source { name: &name, text: &yaml }.render(&errors);
    Err(Error::References { name, rendered })
}

fn located(reference: &Reference, error: &Error) -> FieldError {
    FieldError {
        line: Some(reference.line),
        column: Some(reference.column),
        field: reference.field.clone(),
        message: error.to_string(),
    }
}

fn pack(folder: &Folder, reference: &Reference, progress: &Progress) -> Result<Item, Error> {
    let path = reference.path.clone();
    match reference.kind {
        Kind::File => {
            let file = folder.file(&path)?;
            Ok(Item { path, blob: hash_file(&file)?, content: Content::File(file) })
        }
        Kind::Udf(language) => {
            let bundle = bundle(&folder.directory(&path)?, language, progress)?;
            let blob = Blob { sha256: Sha256::of(&bundle), size: bundle.len() as u64 };
            Ok(Item { path, blob, content: Content::Bytes(bundle) })
        }
    }
}

/// The zip of a UDF's folder: of the folder itself for Python, of the built executable for Rust.
///
/// # Errors
/// When the folder isn't a UDF of that language, is too large, or doesn't build.
pub fn bundle(folder: &Path, language: Language, progress: &Progress) -> Result<Bytes, Error> {
    let bundle = match language {
        Language::Python => {
            if !folder.join("main.py").is_file() {
                return Err(Error::NoMain(folder.to_owned()));
            }
            zip_folder(folder)?
        }
        Language::Rust => {
            progress.tell(&format!("building {}", folder.display()));
            zip(&[Entry::executable("main", build_udf(folder)?)])?
        }
    };
    match bundle.len() as u64 {
        size if size > limit::BLOB_BYTES => Err(Error::TooLarge { path: folder.to_owned(), size }),
        _ => Ok(Bytes::from(bundle)),
    }
}

fn read_yaml(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let most = limit::DAG_YAML_BYTES as u64 + 1;
    fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() > limit::DAG_YAML_BYTES {
        return Err(Error::TooLong(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| Error::NotText(path.to_owned()))
}

/// Hashes a file without taking it in whole.
fn hash_file(path: &Path) -> Result<Blob, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let mut file = open_plain(path).map_err(unreadable)?;
    let mut hasher = Sha256Hasher::default();
    let mut size = 0;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(unreadable)?;
        if read == 0 {
            return Ok(Blob { sha256: hasher.finish(), size });
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
        if size > limit::BLOB_BYTES {
            return Err(Error::TooLarge { path: path.to_owned(), size });
        }
    }
}

/// Opens a file for reading, unless its last step is a link; never waits for a pipe's other end.
fn open_plain(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package_of(yaml: &str, files: &[(&str, &str)]) -> Result<Package, Error> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let file = folder.path().join("dag.yaml");
        fs::write(&file, yaml).unwrap();
        package(&file, &Progress::on_stderr())
    }

    const YAML: &str = "name: x\njobs:\n  - name: a\n    operator: csv_to_parquet\n    files: { source: data/a.csv }\n  - name: b\n    udf: { language: python, path: udfs/b }\n";

    #[test]
    fn files_and_udfs_are_packed_by_content() {
        let files = [("data/a.csv", "x\n1\n"), ("udfs/b/main.py", "print(1)\n")];
        let package = package_of(YAML, &files).unwrap();
        let paths: Vec<&str> = package.items.iter().map(|item| item.path.as_str()).collect();
        assert_eq!(paths, ["data/a.csv", "udfs/b"]);
        assert_eq!(package.items[0].blob, Blob { sha256: Sha256::of(b"x\n1\n"), size: 4 });
        let again = package_of(YAML, &files).unwrap();
        assert_eq!(package.items[1].blob, again.items[1].blob, "the same folder is the same bundle");
    }

    #[test]
    fn every_bad_path_is_told_with_its_place() {
        let error = package_of(YAML, &[("udfs/b/other.py", "")]).unwrap_err();
        let Error::References { rendered, .. } = error else { panic!("{error}") };
        let lines: Vec<&str> = rendered.lines().filter(|line| line.contains("dag.yaml:")).collect();
        assert!(lines[0].contains("dag.yaml:5:22  jobs[0].files.source: "), "{rendered}");
        assert!(lines[1].contains("dag.yaml:7:36  jobs[1].udf.path: "), "{rendered}");
        assert!(lines[1].ends_with("has no main.py: a Python UDF starts there"), "{rendered}");
    }

    #[test]
    fn a_file_that_is_no_dag_is_left_to_the_platform() {
        for yaml in ["", "jobs: 3", "a: [", "jobs:\n  - name: a\n    udf: python\n"] {
            assert!(package_of(yaml, &[]).unwrap().items.is_empty(), "{yaml:?}");
        }
    }

    #[test]
    fn a_dag_file_has_a_size() {
        let long = format!("# {}\n", "a".repeat(limit::DAG_YAML_BYTES));
        assert!(matches!(package_of(&long, &[]), Err(Error::TooLong(_))));
    }
}
