//! How long authority outlives its revocation, on each plane.
//!
//! A round is one attempt and one plane. Somebody who holds the attempt's tokens and keys shows them to the
//! plane again and again; its authority is ended; what is measured is the time from the answer to whoever ended
//! it, which follows the commit, to the first refusal. So the time of one request is in the figure, and where
//! the plane refused before the answer was there, it is 0. For a query that runs it is the time until its caller has
//! the refusal, and for a download until its reader, who has waited, has read what was on its way and finds the end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;
use trace_stand::{Attempt, Cause, LONG, Plane, Stand};

use crate::{
    report::load_average,
    statistics::{Samples, Spread},
};

#[derive(Debug, Args)]
pub struct Options {
    /// Rounds on each plane in which a run is cancelled
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Rounds with a query or a download that runs
    #[arg(long, default_value_t = 40)]
    running_rounds: usize,
    /// Rounds on each plane in which a key is revoked
    #[arg(long, default_value_t = 40)]
    key_rounds: usize,
}

/// In milliseconds, by cause and plane.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// A run is cancelled.
    cancelled: BTreeMap<&'static str, Spread>,
    /// The key that signed the tokens is revoked.
    key_revoked: BTreeMap<&'static str, Spread>,
    load_average: Option<f64>,
}

/// What is shown, or runs, when the authority ends.
#[derive(Clone, Copy)]
enum Subject {
    Shown(Plane),
    RunningQuery,
    RunningDownload,
}

const SUBJECTS: [(&str, Subject); 7] = [
    ("dispatcher", Subject::Shown(Plane::TaskApi)),
    ("token_exchange", Subject::Shown(Plane::TokenExchange)),
    ("credentials", Subject::Shown(Plane::Credentials)),
    ("query", Subject::Shown(Plane::Query)),
    ("object_store", Subject::Shown(Plane::ObjectStore)),
    ("running_query", Subject::RunningQuery),
    ("running_download", Subject::RunningDownload),
];

/// Runs it.
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let stand = Stand::start(Duration::from_secs(10)).await?;
    Ok(Figures {
        cancelled: measure(&stand, options, Cause::Cancelled).await?,
        key_revoked: measure(&stand, options, Cause::KeyRevoked).await?,
        load_average: load_average(),
    })
}

async fn measure(
    stand: &Stand,
    options: &Options,
    cause: Cause,
) -> anyhow::Result<BTreeMap<&'static str, Spread>> {
    let mut figures = BTreeMap::new();
    for (name, subject) in SUBJECTS {
        let rounds = match subject {
            _ if cause == Cause::KeyRevoked => options.key_rounds,
            Subject::Shown(_) => options.rounds,
            Subject::RunningQuery | Subject::RunningDownload => options.running_rounds,
        };
        let mut samples = Samples::default();
        for _ in 0..rounds {
            samples.push(round(stand, cause, subject).await.with_context(|| format!("{cause:?}, {name}"))?);
        }
        figures.insert(name, samples.spread().context("no rounds")?);
    }
    Ok(figures)
}

async fn round(stand: &Stand, cause: Cause, subject: Subject) -> anyhow::Result<Duration> {
    let attempt = stand.attempt("owner").await?;
    let outlived = match subject {
        Subject::Shown(plane) => {
            // It has been served before, as a thief would have been.
            let served = stand.show(&attempt, plane).await?;
            ensure!(served == trace_stand::Verdict::Served, "it was not served: {served:?}");
            after(stand, &attempt, cause, async { stand.until_refused(&attempt, plane).await.map(drop) })
                .await?
        }
        Subject::RunningQuery => {
            let query = stand.running_query(&attempt).await?;
            let ended = async {
                ensure!(query.await?.as_deref() == Some("revoked"), "the query ended otherwise");
                Ok(())
            };
            after(stand, &attempt, cause, ended).await?
        }
        Subject::RunningDownload => {
            let download = attempt.running_download().await?;
            stand.end(&attempt, cause).await?;
            // Nobody reads before: the object would have come whole.
            let answered = Instant::now();
            let whole = tokio::time::timeout(LONG, download.finish()).await?;
            ensure!(!whole, "the whole object came");
            answered.elapsed()
        }
    };
    // A task whose attempt was taken back is ready again, and is not what comes next.
    if cause != Cause::Cancelled {
        stand.end(&attempt, Cause::Cancelled).await?;
    }
    Ok(outlived)
}

/// The time from the answer to whoever ends the authority until `over` is.
async fn after(
    stand: &Stand,
    attempt: &Attempt,
    cause: Cause,
    over: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Duration> {
    let ended = async {
        stand.end(attempt, cause).await?;
        anyhow::Ok(Instant::now())
    };
    let over = async {
        over.await?;
        anyhow::Ok(Instant::now())
    };
    let (ended, over) = tokio::try_join!(ended, over)?;
    Ok(over.saturating_duration_since(ended))
}
