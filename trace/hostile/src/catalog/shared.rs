//! The sandbox: attacks that share one task.

use trace_controls::Protection::*;

use crate::vector::{
    Attack::Shared,
    Control::{self, Layers, Off, Planted, Without},
    Denial, Plane, Vector, denial,
};

const fn vector(
    name: &'static str,
    tries: &'static str,
    denials: &'static [Denial],
    control: Control,
) -> Vector {
    Vector { name, plane: Plane::Sandbox, tries, attack: Shared, denials, control }
}

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
const WOULD_LEAVE: Control = Without(
    "it would send to the outside; `machine-by-udp` shows that nothing but the empty network stops it",
);

/// Where a control would fail on some machines.
const MAY_NOT_EXIST: Control = Without(
    "not every kernel has this call; the filter has it on the same list as `bpf`, which has a control",
);

#[rustfmt::skip]
pub const VECTORS: &[Vector] = &[
    vector("see-processes", "list the processes in `/proc`", ABSENT, Off(OwnProc)),
    vector("processes-environment", "read `/proc/PID/environ` of a process of the machine", NOT_THERE, Planted),
    vector("processes-memory", "open `/proc/PID/mem` of a process of the machine", NOT_THERE, Planted),
    vector("signal-processes", "signal a process of the machine", NO_PROCESS, Planted),
    vector("processes-handle", "`pidfd_open` of a process of the machine", NO_PROCESS, Planted),
    vector("inherited-descriptors", "read a file that the worker has open, without close-on-exec", ABSENT, Off(ClosedDescriptors)),
    vector("inherited-environment", "find a variable of the worker", ABSENT, Off(CleanEnvironment)),
    vector("kernel-settings", "read `/proc/sys/kernel/core_pattern`", NOT_THERE, Off(OwnProc)),
    vector("write-kernel-file", "write `/proc/self/oom_score_adj`", BY_LANDLOCK, Off(Landlock)),
    vector("core-dump", "crash, and leave a core file", ABSENT, Off(NoCoreFiles)),
    vector("ptrace", "trace a process of its own", KILLED, Off(Seccomp)),
    vector("process-vm-readv", "read the memory of a process of its own by `process_vm_readv`", KILLED, Off(Seccomp)),
    vector("pidfd-getfd", "take a descriptor of a process of its own by `pidfd_getfd`", KILLED, Off(Seccomp)),
    vector("io-uring", "reach `io_uring_setup`", NO_CALL, Off(Seccomp)),
    vector("add-key", "add a key to a keyring", KILLED, Off(Seccomp)),
    vector("keyctl", "reach `keyctl`", KILLED, Off(Seccomp)),
    vector("bpf", "reach `bpf`", KILLED, Off(Seccomp)),
    vector("userfaultfd", "reach `userfaultfd`", KILLED, Off(Seccomp)),
    vector("perf-event-open", "reach `perf_event_open`", KILLED, Off(Seccomp)),
    vector("fanotify", "reach `fanotify_init`", KILLED, Off(Seccomp)),
    vector("open-by-handle", "reach `open_by_handle_at`", KILLED, Off(Seccomp)),
    vector("load-module", "reach `init_module`", KILLED, MAY_NOT_EXIST),
    vector("kexec", "reach `kexec_load`", KILLED, MAY_NOT_EXIST),
    vector("kernel-log", "reach `syslog`", KILLED, Off(Seccomp)),
    vector("personality", "turn off address randomisation", NO_CALL, Off(Seccomp)),
    vector("set-clock", "reach `clock_settime`", KILLED, Off(Seccomp)),
    vector("type-into-terminal", "reach `ioctl(TIOCSTI)`", KILLED, Off(Seccomp)),
    vector("outlive-worker", "undo that it is killed with the worker (`PR_SET_PDEATHSIG`)", NO_CALL, Off(Seccomp)),
    vector("change-limits", "set a resource limit of its own", NO_CALL, Off(Seccomp)),
    vector("foreign-architecture", "make a call of 32 bits, which have other numbers", KILLED,
        Without("not every kernel takes such calls")),
    vector("capability", "open its own file of mode 0, as a capability would allow", &[denial("errno EACCES")], Planted),
    vector("user-namespace", "`unshare` a user namespace", KILLED, Off(Seccomp)),
    vector("user-namespace-by-clone", "`clone` into a user namespace", KILLED, Off(Seccomp)),
    vector("foreign-namespace", "reach `setns`", KILLED, Off(Seccomp)),
    vector("chroot", "reach `chroot`", KILLED, Off(Seccomp)),
    vector("mount-in-nested-namespace", "mount a file system in a user namespace of its own", KILLED, Layers(&[Seccomp, Landlock])),
    vector("remount-sub-mount", "remount the bundle to be written, in a user namespace of its own", KILLED,
        Without("the kernel has locked the mounts: it refuses even with the filter and Landlock off")),
    vector("odd-socket-families", "make netlink, packet, IPv6, crypto or VM sockets", NO_FAMILY, Off(Seccomp)),
    vector("raw-socket", "make a raw socket", NO_FAMILY, Off(Seccomp)),
    vector("machine-by-tcp", "connect to a service on the machine's loopback", NO_HOST, Layers(&[Landlock, NetworkNamespace])),
    vector("machine-by-udp", "ask a service on the machine's loopback by UDP", &[denial("errno ECONNREFUSED")], Off(NetworkNamespace)),
    vector("machine-by-abstract-socket", "connect to an abstract socket of the machine",
        &[denial("errno EPERM"), denial("errno ECONNREFUSED")], Layers(&[Landlock, NetworkNamespace])),
    vector("machine-by-unix-socket", "connect to a Unix socket of the machine", NOT_THERE, Planted),
    vector("docker-socket", "connect to a container engine", NOT_THERE, Planted),
    vector("internet", "connect to 1.1.1.1:443", NO_ROUTE, WOULD_LEAVE),
    vector("cloud-metadata", "connect to 169.254.169.254:80", NO_ROUTE, WOULD_LEAVE),
    vector("name-server", "ask 8.8.8.8:53 by UDP", &[denial("errno ENETUNREACH")], WOULD_LEAVE),
    vector("resolve-name", "resolve example.com", &[denial("no name")], WOULD_LEAVE),
    vector("listen", "listen on a TCP port of its own", BY_LANDLOCK, Off(Landlock)),
    vector("host-file", "read a file of the machine that everybody may read", NOT_THERE, Planted),
    vector("host-file-by-process", "the same through `/proc/1/root`", NOT_THERE, Planted),
    vector("kernel-files", "read a file in `/sys`", NOT_THERE, Planted),
    vector("group-files", "read a file of a control group", NOT_THERE, Planted),
    vector("devices", "open memory, disks and others in `/dev`", NOT_THERE, Planted),
    vector("device-node", "make a node for a disk", BY_LANDLOCK, Planted),
    vector("set-user-id-programs", "find a program that runs as another user", ABSENT, Planted),
    vector("execute-written", "run a program that it wrote", BY_LANDLOCK, Layers(&[NoExec, Landlock])),
    vector("touch-shown", "change the times of `/dev/null`, which everybody may write", READ_ONLY, Off(ReadOnlyMounts)),
    vector("change-root-folder", "change the root folder, which it owns", READ_ONLY, Off(SealedRoot)),
    vector("change-sdk", "open a file of the SDK for writing", BY_LANDLOCK, Planted),
];
