//! The task of the attacks on the way out: what it is granted, and by whom.

use serde_json::json;
use trace_contracts::wire::egress::{EgressEffect, EgressRuleRequest};

use crate::{
    internet::port_of,
    listeners::Listeners,
    round::{self, Job},
    scene::Scene,
    vector::{Attack, Vector},
};

/// The job of the attacks that share a task with destinations.
pub const JOB: &str = "reaching";
/// Its bounds, and the seconds that one attack of it may take: what can't be reached is told after five.
const BOUNDS: (&str, &str, u32) = ("{ cpu: 1, memory: 256MiB, disk: 64MiB }", "9m", 60);
/// Destinations on the port of the world outside. All are granted; what becomes of them is for the gateway to say.
const GRANTED: [&str; 10] = [
    "out.example.com",
    "private.example.com",
    "mixed.example.com",
    "alias.example.com",
    "chain.example.com",
    "rebinds.example.com",
    "metadata.goog",
    "meta.example.com",
    "127.0.0.3",
    "[::ffff:127.0.0.3]",
];
/// The same with few bytes, and with few requests.
const BUDGETED: [(&str, &str); 2] =
    [("bytes.example.com", "bytes: 64KiB"), ("requests.example.com", "requests: 3")];
/// This machine by a name; granted with ports of the platform's own.
const MACHINE: &str = "machine.example.com";

/// The job of these vectors, if any of them needs it. An admin allows what it declares.
pub async fn job(scene: &Scene<'_>, vectors: &[Vector]) -> anyhow::Result<Option<Job>> {
    let reach: Vec<&str> =
        vectors.iter().filter(|one| matches!(one.attack, Attack::Reaching)).map(|one| one.name).collect();
    if reach.is_empty() {
        return Ok(None);
    }
    let listeners = Listeners::of(scene).await?;
    let (internal, gateway) = (port_of(&listeners.workers)?, port_of(&listeners.gateway)?);
    let port = scene.world.internet().port();
    let machine = [internal, gateway].map(|port| format!("{MACHINE}:{port}"));
    let mut declared = Vec::new();
    for to in GRANTED.iter().map(|host| format!("{host}:{port}")).chain(machine) {
        allow(scene, &to).await?;
        declared.push(format!("\"{to}\""));
    }
    for (host, budget) in BUDGETED {
        let to = format!("{host}:{port}");
        allow(scene, &to).await?;
        declared.push(format!("{{ to: \"{to}\", {budget} }}"));
    }
    let targets = json!({
        "outside_port": port,
        "other_port": scene.world.internet().other_port(),
        "internal_port": internal,
        "gateway_port": gateway,
    });
    Ok(Some(Job {
        name: JOB.to_owned(),
        inputs: String::new(),
        bundle: round::knowing(scene, &reach, BOUNDS.2, targets)?,
        resources: BOUNDS.0.to_owned(),
        timeout: BOUNDS.1.to_owned(),
        more: format!("    egress: [{}]\n", declared.join(", ")),
    }))
}

/// Lets every DAG of the attacker's org reach this, as far as the org is concerned.
pub async fn allow(scene: &Scene<'_>, to: &str) -> anyhow::Result<()> {
    let request = EgressRuleRequest { effect: EgressEffect::Allow, to: to.parse()?, dag: None };
    scene.platform.client("main")?.set_egress_rule(&request).await?;
    Ok(())
}
