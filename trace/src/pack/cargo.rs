//! Builds a Rust UDF into one static executable, so that it runs in a sandbox that has no libraries.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

/// Larger than any UDF should be; the bundle's own limit is smaller once compressed.
const MAX_EXECUTABLE_BYTES: u64 = 256 * 1024 * 1024;

/// Why a Rust UDF could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No Cargo.toml.
    #[error("{} has no Cargo.toml: a Rust UDF is a crate with one binary", .0.display())]
    NoCrate(PathBuf),
    /// A tool is missing.
    #[error("`{tool}` can't be run: {source}. Rust UDFs need a Rust toolchain (https://rustup.rs)")]
    Tool {
        /// Which.
        tool: &'static str,
        /// Why.
        source: io::Error,
    },
    /// `rustc -vV` said nothing of use.
    #[error("`rustc -vV` does not say for which host it builds")]
    NoHost,
    /// The compiler found something.
    #[error("{} does not build: see the compiler's messages above", .0.display())]
    Build(PathBuf),
    /// Not one binary.
    #[error("{} must have exactly one binary, and has {found}", .path.display())]
    Binaries {
        /// The crate.
        path: PathBuf,
        /// How many.
        found: usize,
    },
    /// The executable can't be read.
    #[error("{} can't be read: {source}", .path.display())]
    Read {
        /// The executable.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The executable is too large.
    #[error("{} is larger than {} MiB", .0.display(), MAX_EXECUTABLE_BYTES >> 20)]
    TooLarge(PathBuf),
}

/// What of cargo's messages matters here.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
}

/// Builds the crate in this folder, and reads its executable. The compiler's messages go to
/// standard error.
///
/// # Errors
/// When there is no crate with one binary, no toolchain, or the crate does not build.
pub fn build_udf(folder: &Path) -> Result<Vec<u8>, Error> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Error::NoCrate(folder.to_owned()));
    }
    let messages = cargo_build(folder, &host(folder)?)?;
    let executables = executables(&messages, &manifest);
    match executables.as_slice() {
        [executable] => read(executable),
        others => Err(Error::Binaries { path: folder.to_owned(), found: others.len() }),
    }
}

/// The host that the folder's toolchain builds for.
fn host(folder: &Path) -> Result<String, Error> {
    let output = Command::new("rustc")
        .arg("-vV")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Tool { tool: "rustc", source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let plain = |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    host.filter(plain).map(str::to_owned).ok_or(Error::NoHost)
}

/// Flags in the environment would win over `--config`, so they don't get through. With an explicit
/// target, build scripts and macros are not linked statically.
fn cargo_build(folder: &Path, host: &str) -> Result<Vec<u8>, Error> {
    let output = Command::new("cargo")
        .args(["build", "--release", "--message-format", "json-render-diagnostics", "--target", host])
        .arg("--config")
        .arg(format!("target.{host}.rustflags=[\"-C\", \"target-feature=+crt-static\"]"))
        .args(["--config", "profile.release.strip=\"debuginfo\""])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Tool { tool: "cargo", source })?;
    if output.status.success() { Ok(output.stdout) } else { Err(Error::Build(folder.to_owned())) }
}

/// The executables of the crate itself, not of what it depends on.
fn executables(messages: &[u8], manifest: &Path) -> Vec<PathBuf> {
    let manifest = manifest.canonicalize().unwrap_or_else(|_| manifest.to_owned());
    serde_json::Deserializer::from_slice(messages)
        .into_iter::<Message>()
        .map_while(Result::ok)
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| message.manifest_path.as_deref() == Some(&manifest))
        .filter(|message| message.target.as_ref().is_some_and(|target| target.kind == ["bin"]))
        .filter_map(|message| message.executable)
        .collect()
}

fn read(executable: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Read { path: executable.to_owned(), source };
    let size = fs::metadata(executable).map_err(unreadable)?.len();
    if size > MAX_EXECUTABLE_BYTES {
        return Err(Error::TooLarge(executable.to_owned()));
    }
    fs::read(executable).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    /// The program header that names the dynamic loader.
    const PT_INTERP: u32 = 3;

    /// The types of the program headers of a 64-bit ELF file.
    fn program_headers(elf: &[u8]) -> Vec<u32> {
        let number = |at: usize, size: usize| {
            elf[at..at + size].iter().rev().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte))
        };
        let (offset, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
        (0..count).map(|header| u32::try_from(number(offset + header * size, 4)).unwrap()).collect()
    }

    const MANIFEST: &str = "[package]\nname = \"u\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";

    #[test]
    fn a_crate_becomes_one_static_executable() {
        let folder = crate_with(&[("Cargo.toml", MANIFEST), ("src/main.rs", "fn main() {}")]);
        let executable = build_udf(folder.path()).unwrap();
        assert_eq!(&executable[..4], b"\x7fELF");
        assert!(!program_headers(&executable).contains(&PT_INTERP), "it must not need a loader");
    }

    #[test]
    fn a_crate_that_does_not_fit_is_refused() {
        assert!(matches!(build_udf(crate_with(&[]).path()), Err(Error::NoCrate(_))));
        let library = crate_with(&[("Cargo.toml", MANIFEST), ("src/lib.rs", "")]);
        assert!(matches!(build_udf(library.path()), Err(Error::Binaries { found: 0, .. })));
    }
}
