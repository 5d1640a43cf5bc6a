//! Archives that mean harm, each built here.

use std::io::{Cursor, Write as _};

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

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Vec<(String, Vec<u8>)>);

impl Sink for Kept {
    type Error = Error;

    fn folder(&mut self, path: &BundlePath) -> Result<(), Error> {
        self.0.push((format!("{}/", path.as_str()), Vec::new()));
        Ok(())
    }

    fn file(&mut self, path: &BundlePath) -> Result<(), Error> {
        self.0.push((path.as_str().to_owned(), Vec::new()));
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.last_mut().unwrap().1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

fn rules() -> Rules {
    Rules::at_deploy()
}

fn examined(bytes: &[u8], rules: Rules) -> Result<u64, Error> {
    read(Cursor::new(bytes), bytes.len() as u64, Language::Python, &rules, &mut Kept::default())
}

fn refusal(fill: impl FnOnce(&mut Zip), rules: Rules) -> Error {
    let bytes = archive(|zip| {
        add(zip, "main.py", b"pass");
        fill(zip);
    });
    examined(&bytes, rules).expect_err("the archive must be refused")
}

#[test]
fn a_plain_bundle_is_read_entry_by_entry() {
    let long = vec![7; 3 * PIECE_BYTES + 1];
    let bytes = archive(|zip| {
        add(zip, "main.py", b"print('hi')");
        zip.add_directory("lib", SimpleFileOptions::default()).unwrap();
        add(zip, "lib/long", &long);
    });
    let mut kept = Kept::default();
    let length =
        read(Cursor::new(&bytes), bytes.len() as u64, Language::Python, &rules(), &mut kept).unwrap();
    assert_eq!(length, 11 + long.len() as u64);
    let expected = [("main.py", &b"print('hi')"[..]), ("lib/", b""), ("lib/long", &long)];
    assert!(kept.0.iter().map(|(name, content)| (name.as_str(), content.as_slice())).eq(expected));
}

#[test]
fn an_executable_is_looked_at() {
    let native = |content: &[u8]| {
        let bytes = archive(|zip| add(zip, "main", content));
        read(Cursor::new(&bytes), bytes.len() as u64, Language::Rust, &rules(), &mut Kept::default())
    };
    let script = native(b"#!/bin/sh").unwrap_err();
    assert!(matches!(script, Error::Executable(NotExecutable::Format)), "{script}");
    let dynamic = native(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap_err();
    assert!(matches!(dynamic, Error::Executable(NotExecutable::Dynamic)), "{dynamic}");
    let bytes = archive(|zip| add(zip, "bin/main", b"x"));
    let elsewhere =
        read(Cursor::new(&bytes), bytes.len() as u64, Language::Rust, &rules(), &mut Kept::default());
    assert!(matches!(elsewhere, Err(Error::NoMain("main"))));
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil", "a/./b", "a//b", "a\0b"] {
        let error = refusal(|zip| add(zip, name, b"x"), rules());
        assert!(matches!(error, Error::Path(_)), "{name:?}: {error}");
    }
    let error = refusal(|zip| add(zip, &"n".repeat(300), b"x"), rules());
    assert!(matches!(error, Error::Path(InvalidPath::Length(_))), "{error}");
}

#[test]
fn links_and_devices_are_refused() {
    let link = |zip: &mut Zip| {
        zip.add_symlink("passwd", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    };
    assert!(matches!(refusal(link, rules()), Error::Kind(_)));
    for kind in [0o020_000, 0o060_000, 0o010_000, 0o140_000] {
        let options = SimpleFileOptions::default().external_attributes((kind | 0o666) << 16);
        let error = refusal(|zip| add_with(zip, "device", b"", options), rules());
        assert!(matches!(error, Error::Kind(_)), "{kind:o}: {error}");
    }
    let folder_as_file = SimpleFileOptions::default().external_attributes((0o040_000 | 0o755) << 16);
    let error = refusal(|zip| add_with(zip, "folder", b"", folder_as_file), rules());
    assert!(matches!(error, Error::Kind(_)), "{error}");
}

#[test]
fn names_that_are_there_twice_are_refused() {
    let cases: [&[&str]; 5] =
        [&["MAIN.py"], &["lib/x", "LIB/y"], &["Größe", "grösse", "GRÖSSE"], &["a/b", "a"], &["a", "a/b"]];
    for names in cases {
        let error = refusal(|zip| names.iter().for_each(|name| add(zip, name, b"x")), rules());
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
    let result = examined(&bytes, rules());
    assert!(matches!(result, Err(Error::Duplicate(_))), "{result:?}");
}

#[test]
fn bombs_are_refused_while_they_unpack() {
    let zeros = vec![0; 8 << 20];
    let small = Rules { unpacked_bytes: 1 << 20, ..rules() };
    let bomb = |zip: &mut Zip| add(zip, "zeros", &zeros);
    assert!(matches!(refusal(bomb, small), Error::Unpacked(_)), "by total");
    let bomb = |zip: &mut Zip| add(zip, "zeros", &zeros);
    assert!(matches!(refusal(bomb, rules()), Error::Unpacked(_)), "by ratio");
    let many = |zip: &mut Zip| (0..50).for_each(|n| add(zip, &format!("f{n}"), b""));
    let few = Rules { entries: 20, ..rules() };
    assert!(matches!(refusal(many, few), Error::Entries(20)), "by entries");
    let result = examined(&archive(|zip| add(zip, "main.py", b"x")), Rules { packed_bytes: 10, ..few });
    assert!(matches!(result, Err(Error::Packed(10))), "by its own size");
}

#[test]
fn a_directory_of_countless_entries_is_not_even_read() {
    let bytes = archive(|zip| {
        (0..20_000).for_each(|n| add(zip, &format!("folder/with/a/long/name/{n:060}"), b""));
    });
    let result = examined(&bytes, Rules { entries: 10, ..rules() });
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
    let result = examined(&bytes, Rules { unpacked_bytes: 1 << 20, ..rules() });
    assert!(result.is_err());
}

#[test]
fn what_is_no_archive_or_has_nothing_to_run_is_refused() {
    for bytes in [b"".as_slice(), b"PK", b"not a zip at all", &[0; 4096]] {
        let result = examined(bytes, rules());
        assert!(matches!(result, Err(Error::Archive(_))), "{result:?}");
    }
    let result = examined(&archive(|zip| add(zip, "other.py", b"x")), rules());
    assert!(matches!(result, Err(Error::NoMain("main.py"))));
    let mut cut = archive(|zip| add(zip, "main.py", &[b'x'; 1000]));
    cut.drain(40..50);
    assert!(examined(&cut, rules()).is_err());
}
