//! Somebody else, who uses the platform while it is attacked.

use std::{fs, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::scene::Scene;

/// How often somebody else asks.
const PERIOD: Duration = Duration::from_secs(2);
/// More than a service needs, whatever it is asked: what queries take is in engines.
const MOST_KIB: u64 = 1 << 20;

/// Runs the attacks, and tells what was wrong meanwhile: a query of the other org that was not answered, a
/// service that grew beyond its bound.
pub async fn during<T>(scene: &Scene<'_>, attacks: impl Future<Output = T>) -> (T, Vec<String>) {
    let mut wrong = Vec::new();
    let mut answered = 0_u32;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(attacks);
    let done = loop {
        tokio::select! {
            done = &mut attacks => break done,
            _ = ticks.tick() => {}
        }
        // The attacks go on while somebody else waits for an answer.
        let asked = ask(scene);
        tokio::pin!(asked);
        let (ended, answer) = tokio::select! {
            done = &mut attacks => (Some(done), asked.await),
            answer = &mut asked => (None, answer),
        };
        match answer {
            Ok(()) => answered += 1,
            Err(error) => wrong.push(format!("somebody else was not answered meanwhile: {error:#}")),
        }
        if let Some(done) = ended {
            break done;
        }
    };
    if answered == 0 {
        wrong.push("nobody else was answered meanwhile".to_owned());
    }
    (done, wrong)
}

async fn ask(scene: &Scene<'_>) -> anyhow::Result<()> {
    let answer = scene.platform.client("rival")?.query("SELECT 1 AS one").await?;
    anyhow::ensure!(answer.rows.len() == 1, "the answer has {} rows", answer.rows.len());
    let kib = resident_kib(scene.platform.pid())?;
    anyhow::ensure!(kib < MOST_KIB, "the platform has {kib} KiB in memory");
    Ok(())
}

fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
