//! `trace-bench BENCH [--json]`: one subcommand and one file a benchmark.
//!
//! Each measures what it names and asserts nothing about time; how to read the figures is in
//! `docs/benchmarks.md`. With `--json` the answer is one line, `{"bench":"sandbox",…}`.

mod chain;
mod cluster;
mod dispatch;
mod idle;
mod platform;
mod reference;
mod report;
mod revocation;
mod sandbox;
mod scale;
mod statistics;

use clap::{Parser, Subcommand};

use crate::report::Form;

#[derive(Debug, Parser)]
#[command(about = "Measures Trace", disable_help_subcommand = true)]
struct Arguments {
    /// Print one JSON line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    bench: Bench,
}

/// A benchmark. The name of the subcommand is the `bench` of the JSON line.
#[derive(Debug, Subcommand)]
enum Bench {
    /// The hot path: claim and complete over HTTP, with nothing to do in between
    Dispatch(dispatch::Options),
    /// Large DAGs, wide runs, a long history, a long time
    Scale(scale::Options),
    /// What a platform costs that has nothing to do
    Idle(idle::Options),
    /// From start to exit of a program that does nothing, in the sandbox and beside it
    Sandbox(sandbox::Options),
    /// Sequential Python UDFs that do nothing, through a whole platform
    Chain(chain::Options),
    /// From the answer to whoever revokes to the first refusal, on each plane
    Revocation(revocation::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { json, bench } = Arguments::parse();
    let form = if json { Form::Line } else { Form::Pretty };
    match bench {
        Bench::Dispatch(options) => form.print("dispatch", &dispatch::run(&options).await?),
        Bench::Scale(options) => form.print("scale", &scale::run(&options).await?),
        Bench::Idle(options) => form.print("idle", &idle::run(&options).await?),
        Bench::Sandbox(options) => form.print("sandbox", &sandbox::run(&options).await?),
        Bench::Chain(options) => form.print("chain", &chain::run(&options)?),
        Bench::Revocation(options) => form.print("revocation", &revocation::run(&options).await?),
    }
}
