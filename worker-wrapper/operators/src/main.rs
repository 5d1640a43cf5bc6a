//! `trace-operator NAME`: runs one operator on the task that the environment describes.

mod config;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use trace_operators::{NAMES, csv_to_parquet};

fn main() -> ExitCode {
    trace_udf::run(|ctx| {
        let config = config::Config::from_env()?;
        operate(&config, ctx).map_err(Into::into)
    })
}

fn operate(config: &config::Config, ctx: &trace_udf::Context) -> anyhow::Result<()> {
    match config.operator.as_str() {
        "csv_to_parquet" => {
            let settings = csv_to_parquet::Settings::parse(&config.settings)?;
            let source =
                ctx.file("source").context("csv_to_parquet needs its CSV as `files: {source: …}`")?;
            let target = ctx.output_dir().join("part-0.parquet");
            let done = csv_to_parquet::run(&settings, &source, ctx.partition(), &target)?;
            ctx.log(format_args!(
                "kept {} of {} rows, {} bytes of Parquet",
                done.kept, done.read, done.bytes
            ));
            Ok(())
        }
        other => bail!("there is no operator `{other}`: use {}", NAMES.join(", ")),
    }
}
