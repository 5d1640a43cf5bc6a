//! The folders of a task, as it sees them.

/// The unpacked bundle, read-only; the working folder.
pub const BUNDLE: &str = "/task/bundle";
/// The declared files by name, read-only.
pub const FILES: &str = "/task/files";
/// Input tables as files, in a local test.
pub const INPUTS: &str = "/task/inputs";
/// What a task leaves there is its output.
pub const OUT: &str = "/out";
/// What it leaves there is lost.
pub const TMP: &str = "/tmp";
/// The SDK for Python.
pub const SDK: &str = "/trace/python";
/// Tools, and the only folder on the search path.
pub const TOOLS: &str = "/trace/bin";
