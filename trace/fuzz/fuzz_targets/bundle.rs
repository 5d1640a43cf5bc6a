//! Bundles: whatever an archive says, everything that is unpacked lies in the folder, is a plain file or
//! folder, and is no more than allowed.

#![no_main]

use std::{
    fs,
    io::{Seek as _, Write as _},
    os::unix::fs::PermissionsExt as _,
};

use libfuzzer_sys::fuzz_target;
use trace_bundle::Rules;
use trace_contracts::wire::worker::Language;
use trace_worker_wrapper::fuzzing::{BundleError, unpack};

fuzz_target!(|bytes: &[u8]| {
    let mut rules = Rules::at_worker();
    (rules.entries, rules.packed_bytes, rules.unpacked_bytes) = (64, 1 << 20, 4 << 20);
    let around = tempfile::tempdir().unwrap();
    let folder = around.path().join("bundle");
    let mut archive = tempfile::tempfile().unwrap();
    archive.write_all(bytes).unwrap();
    archive.rewind().unwrap();
    let language = if bytes.len() % 2 == 0 { Language::Python } else { Language::Rust };
    let unpacked = unpack(archive, &folder, language, &rules);
    assert!(
        fs::read_dir(around.path()).unwrap().all(|entry| entry.unwrap().file_name() == "bundle"),
        "nothing beside the folder"
    );
    let (mut entries, mut total) = (0, 0);
    for entry in walkdir::WalkDir::new(&folder).min_depth(1).into_iter().filter_map(Result::ok) {
        let metadata = entry.path().symlink_metadata().unwrap();
        assert!(metadata.is_file() || metadata.is_dir(), "{}", entry.path().display());
        if metadata.is_file() {
            entries += 1;
            total += metadata.len();
            if unpacked.is_ok() {
                assert_eq!(metadata.permissions().mode() & 0o7222, 0, "{}", entry.path().display());
            }
        }
    }
    assert!(entries <= rules.entries && total <= rules.unpacked_bytes + (64 << 10));
    match unpacked {
        Ok(written) => assert_eq!(written, total),
        // A disk of this machine that fails would be a finding about the machine.
        Err(BundleError::Disk { path, source }) => panic!("{}: {source}", path.display()),
        Err(_) => {}
    }
});
