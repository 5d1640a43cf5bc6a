//! Runs one attempt in a container of its own (ECS) or in an invocation of its own (Lambda), and ends with it.
//!
//! ```text
//! ticket ─► redeem ─► fetch bundle and files ─► start the code ─► outputs to the store ─► report the end
//!                          what it prints ─► reports, until the dispatcher says that the attempt is over
//! ```
//!
//! In Lambda the ticket is the event of the invocation ([`lambda`]).
//!
//! It is on the untrusted side: it holds the attempt's own capability and nothing else, and whatever it
//! reports is believed no more than the code itself would be. What the code sees is made in
//! [`trace_surface`], as for the process sandbox.

mod api;
mod attempt;
mod bounds;
mod child;
mod descendants;
mod fetch;
mod lambda;
mod relay;
mod run;
mod settings;
mod sigv4;
mod upload;

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use settings::Settings;

/// Says that the settings come on standard input.
const INSIDE: &str = "run";
/// Says whether the variables are right, and does nothing else.
const CHECK_CONFIG: &str = "check-config";

fn main() -> ExitCode {
    let argument = std::env::args_os().nth(1);
    let ended = match argument.as_deref().and_then(|argument| argument.to_str()) {
        Some(INSIDE) => Settings::from_stdin().map_err(run::Error::from).and_then(run::run),
        Some(CHECK_CONFIG) => Settings::check_environment().map_err(run::Error::from),
        _ => start_anew(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trace-runner: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Closes whatever else this process was started with but its three standard streams: the code would inherit it.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // That of the folder itself is closed by now.
        let _closed = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// Becomes itself again without its environment: the one that a process starts with stays readable in `/proc` for
/// as long as it lives, and this one holds the ticket, or in Lambda the keys of the function's role.
fn start_anew() -> Result<(), run::Error> {
    close_inherited().map_err(run::Error::Start)?;
    let settings = Settings::from_environment()?;
    let (reader, mut writer) = io::pipe().map_err(run::Error::Start)?;
    writer.write_all(settings.to_json().as_bytes()).map_err(run::Error::Start)?;
    drop(writer);
    let mut again = Command::new("/proc/self/exe");
    Err(run::Error::Start(again.arg(INSIDE).env_clear().envs(settings.kept()).stdin(reader).exec()))
}
