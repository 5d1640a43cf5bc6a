//! `trace-replay DATABASE_URL SLOT`: replays what a slot has kept, and says what it was.

use anyhow::{Context, bail};
use trace_model::{judge::Settings, replay::replay_slot};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database_url, slot] = arguments.as_slice() else {
        bail!("usage: trace-replay DATABASE_URL SLOT");
    };
    let report = replay_slot(database_url, slot, Settings::default()).await.context("the replay stopped")?;
    println!("{report:#?}");
    Ok(())
}
