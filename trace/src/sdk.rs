//! The Python SDK, carried in this program and written out where a sandbox shows it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

macro_rules! package {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../udf-sdk/python/trace_udf/", $name)))),*]
    };
}

/// The files of the package `trace_udf`.
const FILES: &[(&str, &str)] = package! {
    "__init__.py" "_config.py" "_context.py" "_encode.py" "_errors.py" "_http.py" "_objects.py" "_rows.py"
    "_services.py" "_sigv4.py" "_task.py" "_write.py" "py.typed"
};

/// Writes the package below `folder`, and answers the folder to put on Python's path. What an
/// earlier version left there is replaced.
///
/// # Errors
/// When it can't be written.
pub fn write(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join("python");
    let package = path.join("trace_udf");
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(&package)?,
    }
    for (name, content) in FILES {
        fs::write(package.join(name), content)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_package_is_carried() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf-sdk/python/trace_udf");
        let mut there: Vec<String> = fs::read_dir(source)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        there.sort();
        let carried: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(carried, there);
    }

    #[test]
    fn an_older_package_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path()).unwrap();
        fs::write(path.join("trace_udf/gone.py"), "").unwrap();
        write(folder.path()).unwrap();
        assert!(!path.join("trace_udf/gone.py").exists() && path.join("trace_udf/__init__.py").exists());
    }
}
