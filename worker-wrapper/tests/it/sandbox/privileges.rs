//! What a program in the sandbox is allowed to be and to ask the kernel for.

use libc::c_long;
use serde_json::json;
use trace_worker_wrapper::sandbox::Exit;

use super::kit::Task;

#[tokio::test]
async fn the_user_has_no_privilege_and_can_not_get_one() {
    let report = Task::python(
        "status = {k: v.strip() for k, v in (line.split(':', 1) for line in open('/proc/self/status'))}
print(json.dumps({
    'ids': [os.getresuid(), os.getresgid(), os.getgroups()],
    'caps': sorted({status[k] for k in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')}),
    'rest': [status[k] for k in ('NoNewPrivs', 'Seccomp', 'Seccomp_filters')],
    'root': refusal(os.setuid, 0), 'group': refusal(os.setgroups, [0]),
    'device': refusal(os.mknod, '/tmp/disk', 0o60666, os.makedev(8, 0)),
    'map': open('/proc/self/uid_map').read().split()[0::2],
    'umask': os.umask(0), 'session': os.getsid(0),
}))",
    )
    .report()
    .await;
    let expected = json!({
        "ids": [[1000, 1000, 1000], [1000, 1000, 1000], []],
        "caps": ["0000000000000000"],
        "rest": ["1", "2", "1"],
        "root": "ENOSYS", "group": "ENOSYS", "device": "EACCES",
        "map": ["1000", "1"], "umask": 0o022, "session": 1,
    });
    assert_eq!(report, expected);
}

/// Outside, the user is one that owns nothing.
#[tokio::test]
async fn outside_the_user_is_nobody() {
    let report = Task::python("print(open('/proc/self/uid_map').read().split()[1])").report().await;
    assert!(report.as_u64().unwrap() >= 0x7000_0000, "{report}");
}

#[tokio::test]
async fn attacks_on_the_kernel_end_the_process() {
    // Arguments that would do no harm if the call were let through.
    let calls: &[(&str, c_long, &str)] = &[
        ("mount", libc::SYS_mount, "0, 0, 0, 0, 0"),
        ("remount", libc::SYS_mount, "0, b'/', 0, 0x1020, 0"),
        ("umount", libc::SYS_umount2, "b'/tmp', 2"),
        ("pivot_root", libc::SYS_pivot_root, "b'.', b'.'"),
        ("chroot", libc::SYS_chroot, "b'/tmp'"),
        ("open_tree", libc::SYS_open_tree, "-100, b'/', 1"),
        ("fsopen", libc::SYS_fsopen, "b'tmpfs', 0"),
        ("mount_setattr", libc::SYS_mount_setattr, "-100, b'/', 0, 0, 0"),
        ("unshare", libc::SYS_unshare, "0x10000000"),
        ("setns", libc::SYS_setns, "0, 0"),
        ("clone into a user namespace", libc::SYS_clone, "0x10000000 | 17, 0, 0, 0, 0"),
        ("ptrace", libc::SYS_ptrace, "0, 0, 0, 0"),
        ("process_vm_readv", libc::SYS_process_vm_readv, "1, 0, 0, 0, 0, 0"),
        ("bpf", libc::SYS_bpf, "0, 0, 0"),
        ("perf_event_open", libc::SYS_perf_event_open, "0, 0, -1, -1, 0"),
        ("keyctl", libc::SYS_keyctl, "0, -3, 0"),
        ("add_key", libc::SYS_add_key, "b'user', b'x', b'y', 1, -3"),
        ("userfaultfd", libc::SYS_userfaultfd, "0"),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, "-100, 0, 0"),
        ("kexec_load", libc::SYS_kexec_load, "0, 0, 0, 0"),
        ("init_module", libc::SYS_init_module, "0, 0, b''"),
        ("syslog", libc::SYS_syslog, "3, 0, 0"),
        ("typing into a terminal", libc::SYS_ioctl, "0, 0x5412, b'x'"),
        ("a console ioctl", libc::SYS_ioctl, "0, 0x541c, b'x'"),
    ];
    for (name, number, arguments) in calls {
        let finished = Task::python(&format!("print(syscall({number}, {arguments}))")).run().await;
        assert_eq!(finished.exit, Exit::ForbiddenSyscall, "{name}: {}{}", finished.stdout, finished.stderr);
    }
}

#[tokio::test]
async fn calls_that_libraries_try_out_are_answered_as_if_they_were_not_there() {
    let calls: &[(&str, c_long, &str)] = &[
        ("io_uring_setup", libc::SYS_io_uring_setup, "8, bytes(120)"),
        ("io_uring_enter", libc::SYS_io_uring_enter, "0, 0, 0, 0, 0, 0"),
        ("clone3", libc::SYS_clone3, "bytes(88), 88"),
        ("personality", libc::SYS_personality, "0x0040000"),
        ("seccomp", libc::SYS_seccomp, "0, 0, 0"),
        ("setresuid", libc::SYS_setresuid, "0, 0, 0"),
        ("capset", libc::SYS_capset, "0, 0"),
        ("sethostname", libc::SYS_sethostname, "b'x', 1"),
        ("outliving the wrapper", libc::SYS_prctl, "1, 0, 0, 0, 0"),
        ("becoming traceable", libc::SYS_prctl, "0x59616d61, -1, 0, 0, 0"),
        ("changing the core limit", libc::SYS_prlimit64, "0, 4, bytes(16), 0"),
        ("shared memory segments", libc::SYS_msgget, "0, 0o1600"),
        ("a call of the future", 9999, "0"),
    ];
    for (name, number, arguments) in calls {
        let report = Task::python(&format!("print(syscall({number}, {arguments}))")).report().await;
        assert_eq!(report, json!(-libc::ENOSYS), "{name}");
    }
}

/// Threads, processes, pools, pipes, signals, timers, temporary files: what ordinary programs do.
#[tokio::test]
async fn ordinary_programs_run() {
    let report = Task::python(
        "import concurrent.futures, multiprocessing, signal, sqlite3, subprocess, tempfile, threading, time, asyncio
def work(n):
    return n * n
async def wait():
    process = await asyncio.create_subprocess_exec(sys.executable, '-c', 'print(7)', stdout=subprocess.PIPE)
    return int((await process.communicate())[0])
if __name__ == '__main__':
    threads = list(concurrent.futures.ThreadPoolExecutor(4).map(work, range(4)))
    context = multiprocessing.get_context('fork')
    with context.Pool(2) as pool:
        processes = pool.map(work, range(4))
    child = subprocess.run(['python3', '-c', 'import os; print(os.getppid())'], capture_output=True, text=True)
    with tempfile.TemporaryFile() as f:
        f.write(b'x' * 100000)
    signal.signal(signal.SIGUSR1, lambda *a: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    db = sqlite3.connect('/tmp/db')
    db.execute('create table t as select 41 + 1 as n')
    a, b = socket.socketpair()
    a.send(b'hi')
    print(json.dumps([threads, processes, child.stdout, db.execute('select n from t').fetchone()[0],
        b.recv(2).decode(), asyncio.run(wait()), socket.gethostbyname('localhost')]))",
    )
    .report()
    .await;
    assert_eq!(report, json!([[0, 1, 4, 9], [0, 1, 4, 9], "1\n", 42, "hi", 7, "127.0.0.1"]));
}
