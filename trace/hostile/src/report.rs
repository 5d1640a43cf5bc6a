//! The table, and the last line.

use comfy_table::{Cell, ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::json;

use crate::{
    suite::{Judged, Verdicts},
    vector::{Seen, Vector},
};

/// Characters of a detail that are shown.
const DETAIL: usize = 90;

/// Prints everything, and answers whether all is well.
pub fn print(verdicts: &Verdicts) -> bool {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", "vector", "plane", "expected denial", "what happened", "control"]);
    for judged in &verdicts.judged {
        table.add_row(row(judged));
    }
    println!("{table}");
    for judged in verdicts.judged.iter().filter(|judged| !judged.is_right()) {
        explain(judged);
    }
    for fact in &verdicts.facts {
        println!("WRONG  afterwards: {fact}");
    }
    let judged = &verdicts.judged;
    let count = |is: fn(&Judged) -> bool| judged.iter().filter(|one| is(one)).count();
    let is_well = verdicts.facts.is_empty() && !judged.is_empty() && judged.iter().all(Judged::is_right);
    let last = json!({
        "hostile": if is_well { "ok" } else { "failed" },
        "vectors": judged.len(),
        "denied": count(Judged::is_denied),
        "controls": count(|one| one.control.is_some()),
        "controls_succeeded": count(Judged::control_succeeded),
    });
    // In the order that it is documented in, which the map of JSON values does not keep.
    println!(
        "{{\"hostile\":{},\"vectors\":{},\"denied\":{},\"controls\":{},\"controls_succeeded\":{}}}",
        last["hostile"], last["vectors"], last["denied"], last["controls"], last["controls_succeeded"]
    );
    is_well
}

fn row(judged: &Judged) -> [Cell; 6] {
    let control = match &judged.control {
        None => "none".to_owned(),
        Some(seen) if seen.got => format!("{}: succeeded", judged.vector.control.describe()),
        Some(seen) => format!("{}: {}", judged.vector.control.describe(), short(seen)),
    };
    [
        Cell::new(if judged.is_right() { "ok" } else { "WRONG" }),
        Cell::new(judged.vector.name),
        Cell::new(judged.vector.plane),
        Cell::new(judged.vector.expected()),
        Cell::new(short(&judged.seen)),
        Cell::new(control),
    ]
}

fn short(seen: &Seen) -> String {
    let detail: String = seen.detail.chars().take(DETAIL).collect();
    if seen.got { format!("NOT DENIED: {detail}") } else { format!("{}: {detail}", seen.how) }
}

fn explain(judged: &Judged) {
    let Judged { vector, seen, control, layers } = judged;
    for (layer, seen) in layers.iter().filter(|(_, seen)| !seen.is_a_denial()) {
        let (name, layer) = (vector.name, layer.name());
        println!("WRONG  {name}: not denied with {layer} alone off: {} ({})", seen.how, seen.detail);
    }
    if !judged.is_denied() {
        println!(
            "WRONG  {}: expected {}, but {} ({})",
            vector.name,
            vector.expected(),
            seen.how,
            seen.detail
        );
    }
    if let Some(seen) = control.as_ref().filter(|seen| !seen.got) {
        let what = vector.control.describe();
        println!(
            "WRONG  {}: its control ({what}) did not succeed: {} ({})",
            vector.name, seen.how, seen.detail
        );
    }
}

/// The table for `docs/hostile.md`.
pub fn markdown(vectors: &[Vector]) -> String {
    let mut lines = vec![
        "| vector | plane | what is tried | expected denial | control |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for vector in vectors {
        lines.push(format!(
            "| `{}` | {} | {} | {} | {} |",
            vector.name,
            vector.plane,
            vector.tries,
            vector.expected(),
            vector.control.describe()
        ));
    }
    lines.join("\n")
}
