//! The Python interpreter that tasks run with, and the shared libraries that it and the tools need.
//!
//! Which interpreter that is, and where its modules are, is found out in [`trace_surface::python`]. Which
//! libraries are needed is asked of the dynamic loader itself, which is what will look for them inside.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use trace_surface::{
    folders::{SDK, TOOLS},
    python::{self, Interpreter},
};

use super::{
    Error,
    elf::{self, Linkage},
    mounts::{Kind, Shown},
};

/// A Python interpreter of this machine.
#[derive(Debug, Clone)]
pub struct Runtime(Interpreter);

/// What a program needs to see.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Mounted read-only.
    pub shown: Vec<Shown>,
    /// Names that lead to other names, both inside.
    pub links: Vec<(String, String)>,
}

/// Terminal and window modules: no task has a use for them, and each brings libraries along.
const LEFT_OUT: [&str; 7] = ["_tkinter", "readline", "_curses", "_curses_panel", "_dbm", "_gdbm", "nis"];

/// Libraries that are loaded by name at run time (by the C library, by compiled packages).
const BY_NAME: [&str; 2] = ["libgcc_s.so.1", "libstdc++.so.6"];

/// Where the loader finds libraries outside its default folders.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

impl Runtime {
    /// Before the program's own arguments.
    pub(super) const ARGUMENTS: [&str; 1] = python::ARGUMENTS;

    /// The interpreter that `python` leads to.
    pub(super) fn find(python: Option<&Path>) -> Result<Self, Error> {
        let found = Interpreter::find(python).map_err(|error| Error::Python(error.to_string()))?;
        match elf::linkage(&found.executable) {
            Ok(Linkage::Static | Linkage::Dynamic { .. }) => Ok(Self(found)),
            _ => Err(Error::Python(format!("{} is no executable", found.executable.display()))),
        }
    }

    /// `PYTHONPATH` inside.
    pub(super) fn python_path(&self) -> String {
        self.0.python_path()
    }

    /// Compiles the modules in `folder` for this interpreter, so that tasks need not. Where that can't
    /// be done, tasks start a few milliseconds later.
    pub(super) fn compile(&self, folder: &Path) {
        let compiled = Command::new(&self.0.executable)
            .args(["-I", "-S", "-m", "compileall", "-q"])
            .arg(folder)
            .stdin(Stdio::null())
            .output();
        let failed = match compiled {
            Ok(output) if output.status.success() => return,
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(folder = %folder.display(), failed, "the SDK is not compiled: tasks start more slowly");
    }

    /// The executable itself.
    #[must_use]
    pub fn interpreter(&self) -> &Path {
        &self.0.executable
    }

    /// The folder of its standard library.
    pub(super) fn library(&self) -> &Path {
        &self.0.library
    }

    /// Such as `3.11.7`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The interpreter, its standard library with the packages installed there, and the shared
    /// libraries of all of it, each under its own name.
    pub(super) fn view(&self) -> Result<View, Error> {
        let mut view = View::default();
        view.add(Shown::same(&self.0.executable, Kind::Code));
        view.add(Shown::same(&self.0.library, Kind::Code));
        let modules = compiled_modules(&self.0.library.join("lib-dynload"))?;
        view.add_libraries(&self.0.executable, &modules)?;
        let python = self.0.executable.to_string_lossy().into_owned();
        view.links.push((format!("{TOOLS}/python3"), python));
        Ok(view)
    }
}

impl View {
    /// The SDK and the tools, with the libraries of those that are not static.
    pub(super) fn of_tools(sdk: Option<&Path>, tools: &BTreeMap<String, PathBuf>) -> Result<Self, Error> {
        let mut view = Self::default();
        if let Some(sdk) = sdk {
            let source = real(sdk)?;
            view.add(Shown { source, target: SDK.to_owned(), kind: Kind::Code });
        }
        for (name, path) in tools {
            let source = real(path)?;
            view.add_libraries(&source, &[])?;
            view.add(Shown { source, target: format!("{TOOLS}/{name}"), kind: Kind::Code });
        }
        Ok(view)
    }

    /// Adds what `other` has; nothing is mounted at the same place twice.
    pub(super) fn merge(&mut self, other: &Self) {
        for shown in &other.shown {
            self.add(shown.clone());
        }
        self.links.extend(other.links.iter().cloned());
    }

    /// Adds `shown` unless its place is taken.
    fn add(&mut self, shown: Shown) {
        if !self.shown.iter().any(|known| known.target == shown.target) {
            self.shown.push(shown);
        }
    }

    /// Adds the loader of `executable` and every library that it and the modules need.
    fn add_libraries(&mut self, executable: &Path, modules: &[PathBuf]) -> Result<(), Error> {
        let linkage = elf::linkage(executable)
            .map_err(|error| Error::io(format!("read {}", executable.display()), error))?;
        let Linkage::Dynamic { loader } = linkage else { return Ok(()) };
        for library in libraries(&loader, executable, modules)? {
            self.add(Shown::same(&library, Kind::Code));
        }
        self.add(Shown::same(Path::new(&loader), Kind::Code));
        if Path::new(LOADER_CACHE).exists() {
            self.add(Shown::same(Path::new(LOADER_CACHE), Kind::Data));
        }
        Ok(())
    }
}

/// The modules of the standard library that are compiled, without those that are left out.
fn compiled_modules(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::io(format!("read {}", folder.display()), error);
    let mut modules = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let module = name.split('.').next().unwrap_or_default();
        if name.ends_with(".so") && !LEFT_OUT.contains(&module) {
            modules.push(path);
        }
    }
    modules.sort();
    Ok(modules)
}

/// Asks the loader which files it would map for `executable` with all the modules loaded.
fn libraries(loader: &str, executable: &Path, modules: &[PathBuf]) -> Result<BTreeSet<PathBuf>, Error> {
    let by_name = BY_NAME.iter().map(|name| (*name).to_owned());
    let preload: Vec<String> =
        modules.iter().map(|path| path.to_string_lossy().into_owned()).chain(by_name).collect();
    let output = Command::new(loader)
        .arg("--list")
        .arg(executable)
        .env_clear()
        .env("LD_PRELOAD", preload.join(":"))
        .output()
        .map_err(|error| Error::io(format!("run {loader}"), error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::io(
            format!("list the libraries of {}", executable.display()),
            std::io::Error::other(said.trim_end().to_owned()),
        ));
    }
    let modules: BTreeSet<&Path> = modules.iter().map(PathBuf::as_path).collect();
    let mut found = parse_list(&String::from_utf8_lossy(&output.stdout));
    found.retain(|path| !modules.contains(path.as_path()));
    Ok(found)
}

/// The absolute paths in the loader's list (`libc.so.6 => /lib/libc.so.6 (0x…)`).
fn parse_list(list: &str) -> BTreeSet<PathBuf> {
    list.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// A path without links, so that what is shown is decided now.
fn real(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error| Error::io(format!("find {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_list_is_read() {
        let list = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f2a)\n\
            \tlibgone.so.1 => not found\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f2b)\n";
        let found: Vec<_> = parse_list(list).into_iter().collect();
        let expected = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn the_interpreter_is_an_executable_and_not_a_shim() {
        let runtime = Runtime::find(None).unwrap();
        assert!(matches!(elf::linkage(runtime.interpreter()), Ok(Linkage::Static | Linkage::Dynamic { .. })));
        let view = runtime.view().unwrap();
        assert!(view.shown.iter().any(|shown| shown.target.contains("libc.so")), "{view:?}");
        assert!(!view.shown.iter().any(|shown| shown.target.contains("libX11")), "{view:?}");
    }

    #[test]
    fn what_is_not_python_is_named() {
        for path in ["/bin/true", "/nonexistent/python3"] {
            let error = Runtime::find(Some(Path::new(path))).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
