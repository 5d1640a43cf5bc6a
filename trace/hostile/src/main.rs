//! The hostile suite: attacks a whole platform as an author of UDFs with bad intent would, and judges each
//! denial. `docs/hostile.md` says how to run it, how to read it, and how to add a vector.
//!
//! ```text
//! catalog ─► vector ◄─ suite ─► round ─► platform (the ordinary `trace up`)
//!                        │                 └────── (the one inside this program: switchable)
//!                        └───► report
//! ```

mod bundles;
mod catalog;
mod checks;
mod crowding;
mod deploys;
mod facts;
mod inputs;
mod internet;
mod listeners;
mod outside;
mod platform;
mod reaching;
mod report;
mod round;
mod scene;
mod stolen;
mod suite;
mod switchable;
mod vector;
mod watch;
mod world;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail, ensure};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::vector::Vector;

/// Attacks a platform in every way that is known, and checks that each attack is denied by what should deny
/// it, and succeeds as soon as that is switched off.
#[derive(Debug, Parser)]
#[command(version, after_help = "Examples:\n  trace-hostile\n  trace-hostile --only ptrace --only fork-bomb")]
struct Arguments {
    /// Only the vectors of this name; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// The program to attack; absent: the `trace` beside this program.
    #[arg(long)]
    trace: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Prints the table of docs/hostile.md.
    Table,
}

fn main() -> ExitCode {
    if switchable::is_meant(std::env::args()) {
        return switchable::main();
    }
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hostile: {error:#}");
            println!(
                "{{\"hostile\":\"failed\",\"vectors\":0,\"denied\":0,\"controls\":0,\"controls_succeeded\":0}}"
            );
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let vectors = catalog::all();
    if let Some(Part::Table) = arguments.part {
        println!("{}", report::markdown(&vectors));
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(nix::unistd::geteuid().is_root(), "run it as root: each sandbox has a user of its own then");
    let program = match arguments.trace {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("trace"),
    };
    checks::check(&program, &vectors)?;
    let chosen: Vec<Vector> = match arguments.only.as_slice() {
        [] => vectors,
        names => vectors.into_iter().filter(|vector| names.iter().any(|name| name == vector.name)).collect(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("a runtime")?;
    let verdicts = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        // The platforms stop as the suite is dropped.
        tokio::select! {
            verdicts = suite::run(&program, chosen) => verdicts,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminated.recv() => bail!("terminated"),
        }
    })?;
    Ok(if report::print(&verdicts) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
