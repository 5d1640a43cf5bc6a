//! What has to hold before anything is attacked: the catalog, the UDFs and the docs agree, and no binary
//! but this one has a switch.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, ensure};
use trace_controls::{ALL, Protection, VARIABLE};

use crate::{
    bundles, outside, report,
    vector::{Attack, Control, Denial, Plane, Seen, Vector, denial, saying},
};

/// The page with the table.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hostile.md");
/// What an ordinary build makes; those that are there are searched.
const ORDINARY: [&str; 8] = [
    "trace",
    "dispatcher",
    "worker-wrapper",
    "query-service",
    "egress-gateway",
    "trace-operator",
    "trace-udf-native",
    "trace-chaos",
];

/// Checks all of it.
pub fn check(program: &Path, vectors: &[Vector]) -> anyhow::Result<()> {
    only_the_right_denial_is_one()?;
    names_agree(vectors)?;
    every_protection_has_a_control(vectors)?;
    the_page_is_current(vectors)?;
    no_ordinary_binary_has_a_switch(program)
}

/// The judge itself. This program is in no test run, because it asks for switches.
fn only_the_right_denial_is_one() -> anyhow::Result<()> {
    const EITHER: &[Denial] = &[denial("errno EPERM"), saying("outcome bundle", "twice")];
    let vector = Vector {
        name: "example",
        plane: Plane::Sandbox,
        tries: "to be an example",
        attack: Attack::Shared,
        denials: EITHER,
        control: Control::Planted,
    };
    for (seen, denied) in [
        (Seen::refused("errno EPERM", "anything"), true),
        (Seen::refused("errno EACCES", "anything"), false),
        (Seen::refused("outcome bundle", "has `x` twice"), true),
        (Seen::refused("outcome bundle", "has no main"), false),
        (Seen::untried("errno EPERM"), false),
        (Seen::got("errno EPERM"), false),
    ] {
        ensure!(vector.is_denied(&seen) == denied, "the judge is wrong about {seen:?}");
    }
    Ok(())
}

fn names_agree(vectors: &[Vector]) -> anyhow::Result<()> {
    let names: BTreeSet<&str> = vectors.iter().map(|vector| vector.name).collect();
    ensure!(names.len() == vectors.len(), "two vectors have one name");
    let python = vectors.iter().filter(|vector| vector.attack.is_python());
    let listed: BTreeSet<&str> = python.map(|vector| vector.name).collect();
    let sources = bundles::sources()?;
    let registered: BTreeSet<&str> = sources
        .iter()
        .flat_map(|(_, source)| source.lines())
        .filter_map(|line| line.strip_prefix("@vector(\"")?.split('"').next())
        .collect();
    let differing: Vec<_> = listed.symmetric_difference(&registered).collect();
    ensure!(differing.is_empty(), "in the catalog or in the UDF, but not in both: {differing:?}");
    Ok(())
}

fn every_protection_has_a_control(vectors: &[Vector]) -> anyhow::Result<()> {
    let is_off =
        |protection| vectors.iter().any(|one| one.control.off().is_some_and(|off| off.contains(&protection)));
    let without: Vec<&str> = ALL.into_iter().filter(|one| !is_off(*one)).map(Protection::name).collect();
    ensure!(without.is_empty(), "no control switches these off: {without:?}");
    Ok(())
}

fn the_page_is_current(vectors: &[Vector]) -> anyhow::Result<()> {
    let page = fs::read_to_string(PAGE).context("reading docs/hostile.md")?;
    ensure!(
        page.contains(&report::markdown(vectors)),
        "the table in docs/hostile.md is not that of the catalog: `target/debug/trace-hostile table` prints it"
    );
    Ok(())
}

fn no_ordinary_binary_has_a_switch(program: &Path) -> anyhow::Result<()> {
    let names: Vec<&str> = ALL.into_iter().map(Protection::switch).chain([VARIABLE]).collect();
    // A search that can't find anything would pass as well.
    let myself = std::env::current_exe()?;
    let mine = outside::held(&myself, &names)?;
    ensure!(mine == names, "{} holds only {mine:?} of {names:?}", myself.display());
    let folder = program.parent().context("the program lies in a folder")?;
    ensure!(program.is_file(), "{} is missing: build it first", program.display());
    for binary in ORDINARY.map(|name| folder.join(name)).iter().filter(|path| path.is_file()) {
        let held = outside::held(binary, &names)?;
        ensure!(held.is_empty(), "{} holds {held:?}", binary.display());
    }
    Ok(())
}
