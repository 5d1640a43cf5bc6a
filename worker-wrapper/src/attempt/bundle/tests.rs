//! Archives that mean harm, each built here.

use std::{
    fs,
    io::{Cursor, Write as _},
    os::unix::fs::PermissionsExt as _,
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;

type Zip = ZipWriter<Cursor<Vec<u8>>>;

fn archive(fill: impl FnOnce(&mut Zip)) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    fill(&mut zip);
    zip.finish().unwrap().into_inner()
}

fn add(zip: &mut Zip, name: &str, content: &[u8]) {
    add_with(zip, name, content, SimpleFileOptions::default());
}

fn add_with(zip: &mut Zip, name: &str, content: &[u8], options: SimpleFileOptions) {
    zip.start_file(name, options.compression_method(CompressionMethod::Deflated)).unwrap();
    zip.write_all(content).unwrap();
}

/// Unpacks with `main.py` added, and answers what came of it and the folder.
fn unpacked(bytes: &[u8], limits: Limits) -> (Result<u64, Error>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.zip");
    fs::write(&path, bytes).unwrap();
    let result = unpack(File::open(path).unwrap(), &folder.path().join("bundle"), Language::Python, limits);
    (result, folder)
}

fn refusal(fill: impl FnOnce(&mut Zip), limits: Limits) -> Error {
    let bytes = archive(|zip| {
        add(zip, "main.py", b"pass");
        fill(zip);
    });
    let (result, folder) = unpacked(&bytes, limits);
    assert_nothing_outside(folder.path());
    result.expect_err("the archive must be refused")
}

fn assert_nothing_outside(folder: &Path) {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name != "bundle.zip" && name != "bundle");
    assert!(names.is_empty(), "written outside: {names:?}");
}

#[test]
fn a_plain_bundle_is_unpacked_read_only() {
    let bytes = archive(|zip| {
        add(zip, "main.py", b"print('hi')");
        zip.add_directory("lib", SimpleFileOptions::default()).unwrap();
        add(zip, "lib/a.py", b"A = 1");
        add(zip, "implied/b.py", b"B = 2");
        add_with(zip, "main", b"\x7fELF", SimpleFileOptions::default().unix_permissions(0o4777));
    });
    let (result, folder) = unpacked(&bytes, Limits::default());
    assert_eq!(result.unwrap(), 25);
    let mode = |name: &str| {
        fs::metadata(folder.path().join("bundle").join(name)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("main.py"), 0o444);
    assert_eq!(mode("implied/b.py"), 0o444);
    assert_eq!(mode("main"), 0o555, "set-user-id bits of the archive do not count");
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil", "a/./b", "a//b", "a\0b"] {
        let error = refusal(|zip| add(zip, name, b"x"), Limits::default());
        assert!(matches!(error, Error::Path(_)), "{name:?}: {error}");
    }
    let error = refusal(|zip| add(zip, &"n".repeat(300), b"x"), Limits::default());
    assert!(matches!(error, Error::Path(InvalidPath::Length(_))), "{error}");
}

#[test]
fn links_and_devices_are_refused() {
    let link = |zip: &mut Zip| {
        zip.add_symlink("passwd", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    };
    assert!(matches!(refusal(link, Limits::default()), Error::Kind(_)));
    for kind in [0o020_000, 0o060_000, 0o010_000, 0o140_000] {
        let options = SimpleFileOptions::default().external_attributes((kind | 0o666) << 16);
        let error = refusal(|zip| add_with(zip, "device", b"", options), Limits::default());
        assert!(matches!(error, Error::Kind(_)), "{kind:o}: {error}");
    }
    let folder_as_file = SimpleFileOptions::default().external_attributes((0o040_000 | 0o755) << 16);
    let error = refusal(|zip| add_with(zip, "folder", b"", folder_as_file), Limits::default());
    assert!(matches!(error, Error::Kind(_)), "{error}");
}

#[test]
fn names_that_are_there_twice_are_refused() {
    let cases: [&[&str]; 5] =
        [&["MAIN.py"], &["lib/x", "LIB/y"], &["Größe", "grösse", "GRÖSSE"], &["a/b", "a"], &["a", "a/b"]];
    for names in cases {
        let error = refusal(|zip| names.iter().for_each(|name| add(zip, name, b"x")), Limits::default());
        assert!(matches!(error, Error::Duplicate(_)), "{names:?}: {error}");
    }
}

#[test]
fn the_same_name_in_two_entries_is_refused() {
    let mut bytes = archive(|zip| {
        add(zip, "main.py", b"good");
        add(zip, "main.pz", b"evil");
    });
    for at in 0..bytes.len() - 7 {
        if &bytes[at..at + 7] == b"main.pz" {
            bytes[at + 6] = b'y';
        }
    }
    let (result, _folder) = unpacked(&bytes, Limits::default());
    assert!(matches!(result, Err(Error::Duplicate(_))), "{result:?}");
}

#[test]
fn bombs_are_refused_while_they_unpack() {
    let zeros = vec![0; 8 << 20];
    let small = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
    let bomb = |zip: &mut Zip| add(zip, "zeros", &zeros);
    assert!(matches!(refusal(bomb, small), Error::Unpacked(_)), "by total");
    let bomb = |zip: &mut Zip| add(zip, "zeros", &zeros);
    assert!(matches!(refusal(bomb, Limits::default()), Error::Unpacked(_)), "by ratio");
    let many = |zip: &mut Zip| (0..50).for_each(|n| add(zip, &format!("f{n}"), b""));
    let few = Limits { entries: 20, ..Limits::default() };
    assert!(matches!(refusal(many, few), Error::Entries(20)), "by entries");
    let (result, _folder) =
        unpacked(&archive(|zip| add(zip, "main.py", b"x")), Limits { packed_bytes: 10, ..few });
    assert!(matches!(result, Err(Error::Packed(10))), "by its own size");
}

#[test]
fn a_directory_of_countless_entries_is_not_even_read() {
    let bytes = archive(|zip| {
        (0..20_000).for_each(|n| add(zip, &format!("folder/with/a/long/name/{n:060}"), b""));
    });
    let (result, _folder) = unpacked(&bytes, Limits { entries: 10, ..Limits::default() });
    assert!(matches!(result, Err(Error::Entries(10))), "{result:?}");
}

#[test]
fn sizes_that_lie_do_not_get_past_the_count() {
    let mut bytes = archive(|zip| {
        add(zip, "main.py", b"x");
        add(zip, "zeros", &vec![0; 4 << 20]);
    });
    // Both headers say that the file unpacks to 4 bytes.
    let size = (4_u32 << 20).to_le_bytes();
    for at in 0..bytes.len() - 4 {
        if bytes[at..at + 4] == size {
            bytes[at..at + 4].copy_from_slice(&4_u32.to_le_bytes());
        }
    }
    let (result, _folder) = unpacked(&bytes, Limits { unpacked_bytes: 1 << 20, ..Limits::default() });
    assert!(result.is_err());
}

#[test]
fn what_is_no_archive_or_has_nothing_to_run_is_refused() {
    for bytes in [b"".as_slice(), b"PK", b"not a zip at all", &[0; 4096]] {
        let (result, _folder) = unpacked(bytes, Limits::default());
        assert!(matches!(result, Err(Error::Archive(_))), "{result:?}");
    }
    let (result, _folder) = unpacked(&archive(|zip| add(zip, "other.py", b"x")), Limits::default());
    assert!(matches!(result, Err(Error::NoMain("main.py"))));
    let mut cut = archive(|zip| add(zip, "main.py", &[b'x'; 1000]));
    cut.drain(40..50);
    assert!(unpacked(&cut, Limits::default()).0.is_err());
}
