//! Logs of the services.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error, filtered by `filter` (as in `info,trace_dispatcher=debug`).
/// The second call in a process changes nothing.
pub fn init(filter: &str, format: Format) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let _already_set = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
}
