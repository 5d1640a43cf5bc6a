//! `trace init`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use trace_contracts::Name;

use super::Error;
use crate::output;

const AFTER_HELP: &str = "\
Makes a folder NAME with a DAG of two jobs: one that turns a CSV file into Parquet, and a Python
UDF that reads it by SQL. It can be deployed as it is. Nothing that is there is overwritten.

Example:
  trace init hello
  trace deploy hello/dag.yaml
  trace trigger hello --wait
  trace query \"SELECT * FROM hello\"";

/// The files, by their path in the folder. `NAME` stands for the DAG's name in each.
const FILES: [(&str, &str); 3] = [
    ("dag.yaml", include_str!("template/dag.yaml")),
    ("data/orders.csv", include_str!("template/orders.csv")),
    ("udfs/totals/main.py", include_str!("template/main.py")),
];

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Init {
    /// The DAG's name, and its folder's
    name: Name,
    /// The folder to make it in
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
}

impl Init {
    pub fn run(&self) -> Result<(), Error> {
        let folder = self.into.join(&*self.name);
        write(&folder, &self.name)?;
        output::line(&next_steps(&folder, &self.name))?;
        Ok(())
    }
}

/// Writes all files into a folder that must not be there yet.
fn write(folder: &Path, name: &Name) -> Result<(), Error> {
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Error::Exists(folder.to_owned()));
        }
        Err(source) => return Err(Error::File { path: folder.to_owned(), source }),
    }
    for (path, template) in FILES {
        write_one(&folder.join(path), &template.replace("NAME", name))?;
    }
    Ok(())
}

fn write_one(path: &Path, content: &str) -> Result<(), Error> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, content))
        .map_err(|source| Error::File { path: path.to_owned(), source })
}

fn next_steps(folder: &Path, name: &Name) -> String {
    let folder = folder.strip_prefix(".").unwrap_or(folder).display();
    format!(
        "made {folder}/dag.yaml, data/orders.csv and udfs/totals/main.py\n\
         try the UDF alone:  trace udf test {folder}/udfs/totals --input orders={folder}/data/orders.csv\n\
         or on a platform:   trace deploy {folder}/dag.yaml && trace trigger {name} --wait"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("hello");
        let name: Name = "hello".parse().unwrap();
        write(&folder, &name).unwrap();
        let dag = fs::read_to_string(folder.join("dag.yaml")).unwrap();
        assert!(dag.contains("name: hello\n") && !dag.contains("NAME"), "{dag}");
        fs::write(folder.join("dag.yaml"), "mine").unwrap();
        assert!(matches!(write(&folder, &name), Err(Error::Exists(_))));
        assert_eq!(fs::read_to_string(folder.join("dag.yaml")).unwrap(), "mine");
    }
}
