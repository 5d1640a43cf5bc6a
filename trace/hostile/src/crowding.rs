//! One org that asks so much that another is not answered.

use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::interval;

use crate::{
    deploys,
    scene::Scene,
    vector::{Seen, Story},
};

/// As many as an org may have at once, running and waiting.
const QUERIES: usize = 16;
/// Somebody else asks so often. An answer that comes after all engines are taken is among these.
const ASKED: usize = 20;
/// How often.
const PERIOD: Duration = Duration::from_millis(100);

/// Hours of computing, of nothing.
fn endless() -> String {
    let rows = ["(1)"; 500].join(", ");
    let tables: Vec<String> = (0..4).map(|table| format!("(VALUES {rows}) AS t{table}(n)")).collect();
    format!("SELECT sum(t0.n + t1.n * t2.n - t3.n) FROM {}", tables.join(", "))
}

/// Takes every engine with queries that end at their deadline, and keeps others waiting until then.
pub fn engines(scene: Scene<'_>) -> Story<'_> {
    Box::pin(async move {
        let attacker = scene.platform.client("main")?;
        let other = scene.platform.client("rival")?;
        let endless = endless();
        let mut theirs: FuturesUnordered<_> = (0..QUERIES).map(|_| attacker.query(&endless)).collect();
        let mut ticks = interval(PERIOD);
        for _ in 0..ASKED {
            let asked = async {
                ticks.tick().await;
                other.query("SELECT 1 AS one").await
            };
            tokio::select! {
                biased;
                ended = theirs.next() => {
                    let ended = deploys::answered(ended.context("some are asked")?, "it was answered")?;
                    return Ok(Seen::got(format!("somebody else waited until this ended: {}", ended.how)));
                }
                answer = asked => drop(answer.context("somebody else asks")?),
            }
        }
        Ok(Seen::refused("others answered", format!("{ASKED} times, while {QUERIES} queries ran or waited")))
    })
}
