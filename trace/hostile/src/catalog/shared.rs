//! The sandbox: attacks that share one task.

use trace_controls::Protection::*;

use crate::vector::{
    Attack::Shared,
    Control::{self, Layers, Off, Planted, Without},
    Denial, Plane, Vector, denial,
};

const SANDBOX: Plane = Plane::Sandbox;

/// By the system call filter.
const KILLED: &[Denial] = &[denial("killed SIGSYS")];
const NO_CALL: &[Denial] = &[denial("errno ENOSYS")];
const NO_FAMILY: &[Denial] = &[denial("errno EAFNOSUPPORT")];
const NOT_THERE: &[Denial] = &[denial("errno ENOENT")];
const READ_ONLY: &[Denial] = &[denial("errno EROFS")];
const BY_LANDLOCK: &[Denial] = &[denial("errno EACCES")];
const NO_PROCESS: &[Denial] = &[denial("errno ESRCH")];
const ABSENT: &[Denial] = &[denial("absent")];
/// By Landlock from version 4 on, by the empty network before.
const NO_HOST: &[Denial] = &[denial("errno EACCES"), denial("errno ECONNREFUSED")];
const NO_ROUTE: &[Denial] = &[denial("errno EACCES"), denial("errno ENETUNREACH")];

/// Where a control would leave this machine.
const WOULD_LEAVE: Control =
    Without("it would send to the outside; `machine-by-udp` and `machine-by-tcp` show what stops it");

/// Where a control would fail on some machines.
const MAY_NOT_EXIST: Control = Without(
    "not every kernel has this call; the filter has it on the same list as `bpf`, which has a control",
);

#[rustfmt::skip]
pub const VECTORS: &[Vector] = &[
    SANDBOX.vector("see-processes", "list the processes in `/proc`", Shared, ABSENT, Off(OwnProc)),
    SANDBOX.vector("processes-environment", "read `/proc/PID/environ` of a process of the machine", Shared, NOT_THERE, Planted),
    SANDBOX.vector("processes-memory", "open `/proc/PID/mem` of a process of the machine", Shared, NOT_THERE, Planted),
    SANDBOX.vector("signal-processes", "signal a process of the machine", Shared, NO_PROCESS, Planted),
    SANDBOX.vector("processes-handle", "`pidfd_open` of a process of the machine", Shared, NO_PROCESS, Planted),
    SANDBOX.vector("inherited-descriptors", "read a file that the worker has open, without close-on-exec", Shared, ABSENT, Off(ClosedDescriptors)),
    SANDBOX.vector("inherited-environment", "find a variable of the worker", Shared, ABSENT, Off(CleanEnvironment)),
    SANDBOX.vector("kernel-settings", "read `/proc/sys/kernel/core_pattern`", Shared, NOT_THERE, Off(OwnProc)),
    SANDBOX.vector("write-kernel-file", "write `/proc/self/oom_score_adj`", Shared, BY_LANDLOCK, Off(Landlock)),
    SANDBOX.vector("core-dump", "crash, and leave a core file", Shared, ABSENT, Off(NoCoreFiles)),
    SANDBOX.vector("ptrace", "trace a process of its own", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("process-vm-readv", "read the memory of a process of its own by `process_vm_readv`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("pidfd-getfd", "take a descriptor of a process of its own by `pidfd_getfd`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("io-uring", "reach `io_uring_setup`", Shared, NO_CALL, Off(Seccomp)),
    SANDBOX.vector("add-key", "add a key to a keyring", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("keyctl", "reach `keyctl`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("bpf", "reach `bpf`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("userfaultfd", "reach `userfaultfd`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("perf-event-open", "reach `perf_event_open`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("fanotify", "reach `fanotify_init`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("open-by-handle", "reach `open_by_handle_at`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("load-module", "reach `init_module`", Shared, KILLED, MAY_NOT_EXIST),
    SANDBOX.vector("kexec", "reach `kexec_load`", Shared, KILLED, MAY_NOT_EXIST),
    SANDBOX.vector("kernel-log", "reach `syslog`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("personality", "turn off address randomisation", Shared, NO_CALL, Off(Seccomp)),
    SANDBOX.vector("set-clock", "reach `clock_settime`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("type-into-terminal", "reach `ioctl(TIOCSTI)`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("outlive-worker", "undo that it is killed with the worker (`PR_SET_PDEATHSIG`)", Shared, NO_CALL, Off(Seccomp)),
    SANDBOX.vector("change-limits", "set a resource limit of its own", Shared, NO_CALL, Off(Seccomp)),
    SANDBOX.vector("foreign-architecture", "make a call of 32 bits, which have other numbers", Shared, KILLED,
        Without("not every kernel takes such calls")),
    SANDBOX.vector("capability", "open its own file of mode 0, as a capability would allow", Shared, &[denial("errno EACCES")], Planted),
    SANDBOX.vector("user-namespace", "`unshare` a user namespace", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("user-namespace-by-clone", "`clone` into a user namespace", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("foreign-namespace", "reach `setns`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("chroot", "reach `chroot`", Shared, KILLED, Off(Seccomp)),
    SANDBOX.vector("mount-in-nested-namespace", "mount a file system in a user namespace of its own", Shared, KILLED, Layers(&[Seccomp, Landlock])),
    SANDBOX.vector("remount-sub-mount", "remount the bundle to be written, in a user namespace of its own", Shared, KILLED,
        Without("the kernel has locked the mounts: it refuses even with the filter and Landlock off")),
    SANDBOX.vector("odd-socket-families", "make netlink, packet, IPv6, crypto or VM sockets", Shared, NO_FAMILY, Off(Seccomp)),
    SANDBOX.vector("raw-socket", "make a raw socket", Shared, NO_FAMILY, Off(Seccomp)),
    SANDBOX.vector("machine-by-tcp", "connect to a service on the machine's loopback", Shared, NO_HOST, Layers(&[Landlock, NetworkNamespace])),
    SANDBOX.vector("machine-by-udp", "ask a service on the machine's loopback by UDP", Shared, &[denial("errno ECONNREFUSED")], Off(NetworkNamespace)),
    SANDBOX.vector("machine-by-abstract-socket", "connect to an abstract socket of the machine", Shared,
        &[denial("errno EPERM"), denial("errno ECONNREFUSED")], Layers(&[Landlock, NetworkNamespace])),
    SANDBOX.vector("machine-by-unix-socket", "connect to a Unix socket of the machine", Shared, NOT_THERE, Planted),
    SANDBOX.vector("docker-socket", "connect to a container engine", Shared, NOT_THERE, Planted),
    SANDBOX.vector("internet", "connect to 1.1.1.1:443", Shared, NO_ROUTE, WOULD_LEAVE),
    SANDBOX.vector("cloud-metadata", "connect to 169.254.169.254:80", Shared, NO_ROUTE, WOULD_LEAVE),
    SANDBOX.vector("name-server", "ask 8.8.8.8:53 by UDP", Shared, &[denial("errno ENETUNREACH")], WOULD_LEAVE),
    SANDBOX.vector("resolve-name", "resolve example.com", Shared, &[denial("no name")], WOULD_LEAVE),
    SANDBOX.vector("listen", "listen on a TCP port of its own", Shared, BY_LANDLOCK, Off(Landlock)),
    SANDBOX.vector("host-file", "read a file of the machine that everybody may read", Shared, NOT_THERE, Planted),
    SANDBOX.vector("host-file-by-process", "the same through `/proc/1/root`", Shared, NOT_THERE, Planted),
    SANDBOX.vector("kernel-files", "read a file in `/sys`", Shared, NOT_THERE, Planted),
    SANDBOX.vector("group-files", "read a file of a control group", Shared, NOT_THERE, Planted),
    SANDBOX.vector("devices", "open memory, disks and others in `/dev`", Shared, NOT_THERE, Planted),
    SANDBOX.vector("device-node", "make a node for a disk", Shared, BY_LANDLOCK, Planted),
    SANDBOX.vector("set-user-id-programs", "find a program that runs as another user", Shared, ABSENT, Planted),
    SANDBOX.vector("execute-written", "run a program that it wrote", Shared, BY_LANDLOCK, Layers(&[NoExec, Landlock])),
    SANDBOX.vector("touch-shown", "change the times of `/dev/null`, which everybody may write", Shared, READ_ONLY, Off(ReadOnlyMounts)),
    SANDBOX.vector("change-root-folder", "change the root folder, which it owns", Shared, READ_ONLY, Off(SealedRoot)),
    SANDBOX.vector("change-sdk", "open a file of the SDK for writing", Shared, BY_LANDLOCK, Planted),
];
