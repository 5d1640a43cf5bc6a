//! Bundles: those of the attacks, and those that are an attack themselves.

use std::{
    fs,
    io::{Cursor, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use trace::pack::{Entry, zip};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::scene::Scene;

/// Where the attacking UDF is: read when it is packed, so that an attack can be tried without a build.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/udf");

/// What it shares with the intruder of the demo.
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dags/udfs/intruder/child.py");

/// The files of the attacking UDF.
pub fn sources() -> anyhow::Result<Vec<(String, String)>> {
    let mut sources = Vec::new();
    let mut paths = vec![PathBuf::from(SHARED)];
    for entry in fs::read_dir(FOLDER).context("reading the attacking UDF")? {
        paths.push(entry?.path());
    }
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".py") {
            sources.push((name, fs::read_to_string(path)?));
        }
    }
    Ok(sources)
}

/// What a hand-made bundle would do if it were accepted.
const HARMLESS: &[u8] = b"print('accepted')\n";

/// The attacking UDF with its order.
pub fn python(order: &str) -> anyhow::Result<Vec<u8>> {
    let mut entries: Vec<Entry> =
        sources()?.into_iter().map(|(name, source)| Entry::file(&name, source.into_bytes())).collect();
    entries.push(Entry::file("order.json", order.as_bytes().to_vec()));
    Ok(zip(&entries)?)
}

type Zip = ZipWriter<Cursor<Vec<u8>>>;

/// An archive with a main file and whatever else.
fn archive(fill: impl FnOnce(&mut Zip) -> zip::result::ZipResult<()>) -> Vec<u8> {
    let made = || {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        add(&mut zip, "main.py", HARMLESS, SimpleFileOptions::default())?;
        fill(&mut zip)?;
        Ok::<_, zip::result::ZipError>(zip.finish()?.into_inner())
    };
    // An archive that can't be made is an attack that can't be tried, which its judge will say.
    made().context("an archive in memory").unwrap_or_default()
}

fn add(zip: &mut Zip, name: &str, content: &[u8], options: SimpleFileOptions) -> zip::result::ZipResult<()> {
    zip.start_file(name, options.compression_method(CompressionMethod::Deflated))?;
    Ok(zip.write_all(content)?)
}

/// The file that a bundle writes outside of its folder, beside it.
pub const ESCAPED: &str = "escaped.txt";

/// A name that climbs out.
pub fn climbing(_: &Scene<'_>) -> Vec<u8> {
    archive(|zip| add(zip, &format!("../{ESCAPED}"), b"escaped", SimpleFileOptions::default()))
}

/// A name that starts at the root of the machine.
pub fn absolute(scene: &Scene<'_>) -> Vec<u8> {
    let path = scene.world.folder().join(ESCAPED).display().to_string();
    archive(|zip| add(zip, &path, b"escaped", SimpleFileOptions::default()))
}

/// A symbolic link to a file of the machine.
pub fn link(scene: &Scene<'_>) -> Vec<u8> {
    let target = scene.world.secret_file().display().to_string();
    archive(|zip| zip.add_symlink("leak", target, SimpleFileOptions::default()))
}

/// A block device.
pub fn device(_: &Scene<'_>) -> Vec<u8> {
    let options = SimpleFileOptions::default().external_attributes((0o060_000 | 0o666) << 16);
    archive(|zip| add(zip, "disk", b"", options))
}

/// Two names that are one where case does not count.
pub fn twice_by_case(_: &Scene<'_>) -> Vec<u8> {
    archive(|zip| add(zip, "MAIN.py", b"print('the other')", SimpleFileOptions::default()))
}

/// One name in two entries, so that two readers could see two files.
pub fn twice(_: &Scene<'_>) -> Vec<u8> {
    let mut bytes = archive(|zip| add(zip, "main.pz", b"print('the other')", SimpleFileOptions::default()));
    for at in 0..bytes.len().saturating_sub(7) {
        if &bytes[at..at + 7] == b"main.pz" {
            bytes[at + 6] = b'y';
        }
    }
    bytes
}

/// A small archive that unpacks to much.
pub fn bomb(_: &Scene<'_>) -> Vec<u8> {
    archive(|zip| add(zip, "zeros", &vec![0; 16 << 20], SimpleFileOptions::default()))
}

/// More entries than a bundle has.
pub fn entries(_: &Scene<'_>) -> Vec<u8> {
    archive(|zip| {
        (0..10_001).try_for_each(|number| add(zip, &format!("f{number}"), b"", SimpleFileOptions::default()))
    })
}

/// Sizes in its headers that are smaller than what is there.
pub fn lying(_: &Scene<'_>) -> Vec<u8> {
    const BYTES: u32 = 4 << 20;
    let mut bytes = archive(|zip| add(zip, "zeros", &vec![0; BYTES as usize], SimpleFileOptions::default()));
    for at in 0..bytes.len().saturating_sub(4) {
        if bytes[at..at + 4] == BYTES.to_le_bytes() {
            bytes[at..at + 4].copy_from_slice(&4_u32.to_le_bytes());
        }
    }
    bytes
}

/// Nothing that would be run.
pub fn no_main(scene: &Scene<'_>) -> Vec<u8> {
    if scene.planted { harmless("there is something to run") } else { python_file("other.py") }
}

fn python_file(name: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let added = add(&mut zip, name, HARMLESS, SimpleFileOptions::default());
    added.and_then(|()| zip.finish()).map(Cursor::into_inner).unwrap_or_default()
}

/// Nothing that is an archive.
pub fn garbage(_: &Scene<'_>) -> Vec<u8> {
    b"PK\x03\x04 and no more".to_vec()
}

/// A bundle that does nothing, which differs by its words.
pub fn harmless(words: &str) -> Vec<u8> {
    let comment = format!("# {words}\n");
    archive(|zip| add(zip, "words.py", comment.as_bytes(), SimpleFileOptions::default()))
}
