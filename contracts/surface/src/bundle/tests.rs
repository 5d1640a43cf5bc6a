//! What is on the disk afterwards. What is refused, and why, is tested with what decides it.

use std::io::Cursor;

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

/// What came of unpacking, and the folder that it was unpacked in.
fn unpacked(bytes: &[u8], rules: &Rules) -> (Result<u64, Error>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.zip");
    fs::write(&path, bytes).unwrap();
    let result = unpack(File::open(path).unwrap(), &folder.path().join("bundle"), Language::Python, rules);
    (result, folder)
}

fn refusal(fill: impl FnOnce(&mut Zip), rules: &Rules) -> Error {
    let bytes = archive(|zip| {
        add(zip, "main.py", b"pass");
        fill(zip);
    });
    let (result, folder) = unpacked(&bytes, rules);
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
    let (result, folder) = unpacked(&bytes, &Rules::at_worker());
    assert_eq!(result.unwrap(), 25);
    let mode = |name: &str| {
        fs::metadata(folder.path().join("bundle").join(name)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("main.py"), 0o444);
    assert_eq!(mode("implied/b.py"), 0o444);
    assert_eq!(mode("main"), 0o555, "set-user-id bits of the archive do not count");
}

#[test]
fn nothing_is_written_outside_and_no_more_than_is_allowed() {
    for name in ["../evil", "a/../../evil", "/etc/evil"] {
        let error = refusal(|zip| add(zip, name, b"x"), &Rules::at_worker());
        assert!(matches!(error, Error::Bundle(trace_bundle::Error::Path(_))), "{name:?}: {error}");
    }
    let mut small = Rules::at_worker();
    small.unpacked_bytes = 1 << 20;
    let (result, folder) = unpacked(&archive(|zip| add(zip, "zeros", &vec![0; 8 << 20])), &small);
    assert!(matches!(result, Err(Error::Bundle(trace_bundle::Error::Unpacked(_)))), "{result:?}");
    assert!(fs::metadata(folder.path().join("bundle/zeros")).unwrap().len() <= small.unpacked_bytes);
    let (result, _folder) = unpacked(&archive(|zip| add(zip, "other.py", b"x")), &small);
    assert!(matches!(result, Err(Error::Bundle(trace_bundle::Error::NoMain("main.py")))), "{result:?}");
}
