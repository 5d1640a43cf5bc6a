//! The input files as the sandbox shows them: Parquet, by name.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use trace_contracts::Name;
use trace_operators::csv_to_parquet::{self, Settings};

use super::Input;

/// Why an input can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither CSV nor Parquet.
    #[error("{} is neither .csv, .csv.gz nor .parquet: convert it first", .0.display())]
    Ending(PathBuf),
    /// Two inputs of one name.
    #[error("the input `{0}` is given twice")]
    Twice(Name),
    /// It can't be read.
    #[error("{path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not the CSV that it should be.
    #[error("{path}: {source}", path = .path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Which line, and why.
        source: csv_to_parquet::Error,
    },
}

/// Puts each input as `<name>.parquet` into the folder `inputs` of `work`, and answers that folder
/// and the files by name.
pub(super) async fn stage(
    work: &Path,
    inputs: Vec<Input>,
    csv_null: Option<String>,
) -> Result<(PathBuf, BTreeMap<Name, PathBuf>), Error> {
    let folder = work.join("inputs");
    let staging = tokio::task::spawn_blocking(move || {
        let files = stage_all(&folder, inputs, csv_null.as_deref())?;
        Ok((folder, files))
    });
    staging.await.map_err(|error| Error::Read { path: work.to_owned(), source: error.into() })?
}

fn stage_all(
    folder: &Path,
    inputs: Vec<Input>,
    csv_null: Option<&str>,
) -> Result<BTreeMap<Name, PathBuf>, Error> {
    fs::create_dir(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    let mut files = BTreeMap::new();
    for input in inputs {
        let staged = folder.join(format!("{}.parquet", input.name));
        stage_one(&input.file, &staged, csv_null)?;
        if files.insert(input.name.clone(), staged).is_some() {
            return Err(Error::Twice(input.name));
        }
    }
    Ok(files)
}

fn stage_one(file: &Path, staged: &Path, csv_null: Option<&str>) -> Result<(), Error> {
    let unreadable = |source| Error::Read { path: file.to_owned(), source };
    // A file that is not there is better told so than by what would read it.
    fs::metadata(file).map_err(unreadable)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.ends_with(".csv") || name.ends_with(".csv.gz") {
        let unfit = |source| Error::Csv { path: file.to_owned(), source };
        let settings =
            Settings::parse(&serde_json::json!({ "null": csv_null }).to_string()).map_err(unfit)?;
        return csv_to_parquet::run(&settings, file, "all", staged).map(drop).map_err(unfit);
    }
    if name.ends_with(".parquet") {
        return fs::copy(file, staged).map(drop).map_err(unreadable);
    }
    Err(Error::Ending(file.to_owned()))
}
