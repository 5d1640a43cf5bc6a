//! `trace deploy`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use trace_contracts::wire::user::{DeployReply, DeployRequest};

use super::{Error, connect::Connect};
use crate::{
    client,
    output::{self, Form, diagnostics::Source, progress::Progress, text::count},
    pack::{self, Package},
};

const AFTER_HELP: &str = "\
Files (`files:`) and UDF folders (`udf.path`) are found relative to FILE, stay in its folder,
and are uploaded by content hash, only when the platform does not have them. Rust UDFs are
built with cargo, for this machine, statically linked. The same file with the same content is
the same version.

Example:
  trace deploy dags/flights.yaml
  trace deploy dags/flights.yaml --json | jq -r .version";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Deploy {
    /// The DAG file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    connect: Connect,
}

impl Deploy {
    pub async fn run(self) -> Result<(), Error> {
        let client = self.connect.client()?;
        let progress = Arc::new(Progress::on_stderr());
        let package = self.package(&progress).await?;
        let stored = pack::upload(&client, &package.items, &progress).await?;
        let request = DeployRequest { yaml: package.yaml, blobs: stored.blobs };
        let reply = client.deploy(&request).await.map_err(|error| self.explain(error, &request.yaml))?;
        progress.tell(&format!(
            "{} uploaded, {} there already",
            count(stored.uploaded as u64, "blob"),
            stored.unchanged
        ));
        match self.connect.form() {
            Form::Json => output::json(&reply)?,
            Form::Table => output::line(&summary(&reply))?,
        }
        Ok(())
    }

    /// Packing reads files and may run a compiler, so it gets a thread that may block.
    async fn package(&self, progress: &Arc<Progress>) -> Result<Package, Error> {
        let (file, progress) = (self.file.clone(), Arc::clone(progress));
        let packing = tokio::task::spawn_blocking(move || pack::package(&file, &progress));
        Ok(packing.await.map_err(|error| Error::Runtime(error.into()))??)
    }

    /// Shows the lines that the platform complains about.
    fn explain(&self, error: client::Error, yaml: &str) -> Error {
        match &error {
            client::Error::Refused(problem) if !problem.errors.is_empty() => {
                let name = self.file.display().to_string();
                let rendered = Source { name: &name, text: yaml }.render(&problem.errors);
                Error::Wrong { summary: error.to_string(), rendered }
            }
            _ => error.into(),
        }
    }
}

fn summary(reply: &DeployReply) -> String {
    let news = if reply.created { "deployed" } else { "unchanged" };
    let jobs: Vec<&str> = reply.jobs.iter().map(|job| &**job).collect();
    format!(
        "{news} {} as version {} ({}): {}\nrun it with `trace trigger {} --wait`",
        reply.name,
        reply.version,
        count(jobs.len() as u64, "job"),
        jobs.join(", "),
        reply.name
    )
}
