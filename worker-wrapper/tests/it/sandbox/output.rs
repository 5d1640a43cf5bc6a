//! What is left in `/out`, read after the end.

use std::io::Read;

use trace_worker_wrapper::sandbox::{Exit, OutputError};

use super::kit::Task;

#[tokio::test]
async fn outputs_outlive_the_sandbox() {
    let script = "
os.makedirs('/out/by/month')
open('/out/by/month/2013-01.parquet', 'w').write('data')
open('/tmp/not-this', 'w').write('x')";
    let finished = Task::python(script).run().await;
    assert_eq!(finished.exit, Exit::Success, "{}", finished.stderr);
    let files = finished.output.files().unwrap();
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["by/month/2013-01.parquet"]);
    let mut content = String::new();
    finished.output.open(&files[0]).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "data");
}

#[tokio::test]
async fn links_and_special_files_in_the_output_are_refused() {
    for (script, link) in [
        ("os.symlink('/etc/shadow', '/out/x')", true),
        ("os.symlink('/', '/out/x')", true),
        ("open('/out/a', 'w').close(); os.link('/out/a', '/out/b')", true),
        ("os.mkfifo('/out/x')", false),
        ("socket.socket(socket.AF_UNIX).bind('/out/x')", false),
    ] {
        let finished = Task::python(script).run().await;
        assert_eq!(finished.exit, Exit::Success, "{script}: {}", finished.stderr);
        let refused = finished.output.files().unwrap_err();
        match refused {
            OutputError::Link(_) => assert!(link, "{script}"),
            OutputError::Special(_) => assert!(!link, "{script}"),
            other => panic!("{script}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_file_of_holes_is_not_larger_than_the_disk() {
    let script = "
for n in range(3):
    with open(f'/out/{n}', 'wb') as f:
        f.truncate(40 << 20)
";
    let finished = Task::python(script).disk(64 << 20).run().await;
    assert_eq!(finished.exit, Exit::Success, "{}", finished.stderr);
    assert!(matches!(finished.output.files(), Err(OutputError::TooLarge(_))));
}
