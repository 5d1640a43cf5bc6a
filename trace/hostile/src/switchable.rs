//! `trace-hostile up` and `trace-hostile engine`: the command line of `trace`, in which protections can be
//! switched off by whoever holds the other end of the standard input.

use std::{
    io::{BufRead as _, stdin},
    process::ExitCode,
    thread,
};

use clap::Parser as _;
use trace::cli::{self, Cli};
use trace_controls::{Protection, switch_to};

/// Whether these arguments are for the platform inside this program.
pub fn is_meant(arguments: impl IntoIterator<Item = String>) -> bool {
    arguments.into_iter().nth(1).is_some_and(|first| first == "up" || first == "engine")
}

/// Runs it.
pub fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("up") {
        thread::spawn(listen);
    }
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", error.message());
            ExitCode::from(error.exit() as u8)
        }
    }
}

/// Each line names what is off from then on; the answer says that it is.
fn listen() {
    for line in stdin().lock().lines().map_while(Result::ok) {
        let off: Result<Vec<Protection>, _> =
            line.split(',').filter(|name| !name.is_empty()).map(str::parse).collect();
        match off {
            Ok(off) => {
                switch_to(&off);
                println!("off: {line}");
            }
            Err(error) => println!("{error}"),
        }
    }
}
