//! What a program may use, and what is said when it uses more.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt;
use trace_worker_wrapper::sandbox::Exit;

use super::kit::{Task, alone};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn memory_is_limited() {
    let finished = Task::python("hog = bytearray(512 << 20)").memory(64 * MIB).run().await;
    assert_eq!(finished.exit, Exit::Memory { limit: 64 * MIB }, "{}", finished.stderr);
}

#[tokio::test]
async fn memory_of_a_child_counts_and_the_reason_is_memory() {
    let script = "
import subprocess
subprocess.run([sys.executable, '-c', 'bytearray(512 << 20)'], check=True)";
    let finished = Task::python(script).memory(96 * MIB).run().await;
    assert_eq!(finished.exit, Exit::Memory { limit: 96 * MIB }, "{}", finished.stderr);
}

#[tokio::test]
async fn files_in_memory_count_as_memory() {
    let script = "
with open('/tmp/x', 'wb') as f:
    for _ in range(200):
        f.write(bytes(1 << 20))";
    let finished = Task::python(script).memory(64 * MIB).disk(256 * MIB).run().await;
    assert_eq!(finished.exit, Exit::Memory { limit: 64 * MIB }, "{}", finished.stderr);
}

#[tokio::test]
async fn both_folders_share_one_disk_limit() {
    let script = "
for path in ('/out/a', '/tmp/b'):
    with open(path, 'wb') as f:
        for _ in range(6):
            f.write(bytes(1 << 20))";
    let finished = Task::python(script).disk(8 * MIB).run().await;
    assert!(matches!(finished.exit, Exit::Disk { limit, .. } if limit == 8 * MIB), "{:?}", finished.exit);
    assert!(finished.stderr.contains("No space left on device"), "{}", finished.stderr);
}

#[tokio::test]
async fn the_number_of_files_is_limited() {
    let script = "
for n in range(20000):
    open(f'/tmp/{n}', 'x').close()";
    let finished = Task::python(script).run().await;
    assert!(matches!(finished.exit, Exit::Disk { files: 10_000, .. }), "{:?}", finished.exit);
}

#[tokio::test]
async fn a_fork_bomb_is_stopped() {
    let script = "
while True:
    if os.fork() == 0:
        import signal
        signal.pause()";
    let started = Instant::now();
    let finished = Task::python(script).run().await;
    assert_eq!(finished.exit, Exit::Processes { limit: 64 }, "{}", finished.stderr);
    assert!(started.elapsed() < Duration::from_secs(60));
}

/// Each process makes two more until nothing can be made; the deadline ends it.
#[tokio::test]
async fn a_fork_bomb_without_a_leader_is_stopped_by_the_deadline() {
    let script = "
while True:
    try:
        os.fork()
    except OSError:
        pass";
    let timeout = Duration::from_secs(2);
    let finished = Task::python(script).timeout(timeout).run().await;
    assert_eq!(finished.exit, Exit::Timeout { after: timeout });
}

#[tokio::test]
async fn threads_count_as_processes() {
    let script = "
import threading
stop = threading.Event()
for _ in range(200):
    threading.Thread(target=stop.wait, daemon=True).start()";
    let finished = Task::python(script).run().await;
    assert_eq!(finished.exit, Exit::Processes { limit: 64 }, "{}", finished.stderr);
}

#[tokio::test]
async fn time_is_limited_even_if_signals_are_ignored() {
    let script = "
import signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
print('ready', flush=True)
while True:
    time.sleep(1000)";
    let timeout = Duration::from_secs(4);
    let started = Instant::now();
    let finished = Task::python(script).timeout(timeout).run().await;
    assert_eq!(finished.exit, Exit::Timeout { after: timeout });
    assert_eq!(finished.stdout, "ready\n");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test]
async fn processor_time_is_limited() {
    let script = "
import time
end, before = time.monotonic() + 2, time.process_time()
while time.monotonic() < end:
    pass
print(time.process_time() - before)";
    let used = Task::python(script).cpu(200).report().await.as_f64().unwrap();
    assert!(used < 1.0, "a fifth of a processor for two seconds, but {used} s were used");
}

/// The caller reads as much as it likes; the program can't make the wrapper hold what it prints.
#[tokio::test]
async fn a_gigabyte_of_output_passes_through_a_pipe_of_fixed_size() {
    let _alone = alone().await;
    let script = "
block = b'x' * (1 << 20)
for _ in range(1024):
    os.write(1, block)";
    let running = Task::python(script).start().await;
    let mut stdout = running.confined.stdout;
    let reader = async {
        let mut buffer = vec![0; 1 << 16];
        let mut total = 0u64;
        loop {
            match stdout.read(&mut buffer).await.unwrap() {
                0 => return total,
                bytes => total += bytes as u64,
            }
        }
    };
    let (total, ended) = tokio::join!(reader, running.confined.process.wait());
    assert_eq!(ended.unwrap().exit, Exit::Success);
    assert_eq!(total, 1 << 30);
}

/// A program that nobody listens to waits, and is ended by its deadline.
#[tokio::test]
async fn output_that_nobody_reads_does_not_pile_up() {
    let _alone = alone().await;
    let timeout = Duration::from_secs(1);
    let running = Task::python("while True: os.write(1, b'x' * 65536)").timeout(timeout).start().await;
    let ended = running.confined.process.wait().await.unwrap();
    assert_eq!(ended.exit, Exit::Timeout { after: timeout });
    drop(running.confined.stdout);
}

#[tokio::test]
async fn a_crash_leaves_no_core() {
    let script = "
import resource
print(json.dumps([resource.getrlimit(r) for r in (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK)]), flush=True)
os.chdir('/out')
ctypes.string_at(0)";
    let finished = Task::python(script).run().await;
    assert_eq!(finished.exit, Exit::Signal(libc::SIGSEGV), "{}", finished.stderr);
    assert_eq!(finished.output.files().unwrap(), []);
    let limits: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(limits, json!([[1, 1], [0, 0]]), "1 stops core handlers too");
}

#[tokio::test]
async fn a_status_is_passed_on() {
    let finished = Task::python("sys.exit(7)").run().await;
    assert_eq!(finished.exit, Exit::Status(7));
}
