"""Attacks on the kernel: calls with a history, and calls that are for administrators.

Where a call would still be refused by the kernel itself, the goal is to reach its code.
"""

import ctypes
import mmap
import os
import signal
import socket
import struct
import time

from attempts import Denied, vector
from kernel import call, reach

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_REMOUNT_BIND = 0x1020
PTRACE_SEIZE = 0x4206
TIOCSTI = 0x5412


def paused_child():
    """A child that waits until it is killed."""
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    return child


def end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@vector("ptrace")
def ptrace(world):
    child = paused_child()
    call("ptrace", PTRACE_SEIZE, child, 0, 0)
    end(child)
    return f"traced process {child}"


@vector("process-vm-readv")
def process_vm_readv(world):
    page = ctypes.create_string_buffer(b"parent", 16)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        page.value = b"child"
        os.write(writer, b"x")
        while True:
            signal.pause()
    os.read(reader, 1)
    into = ctypes.create_string_buffer(16)
    local = struct.pack("PN", ctypes.addressof(into), 5)
    remote = struct.pack("PN", ctypes.addressof(page), 5)
    call("process_vm_readv", child, local, 1, remote, 1, 0)
    end(child)
    if into.value != b"child":
        raise RuntimeError(f"read {into.value}")
    return f"read {into.value} of process {child}"


@vector("pidfd-getfd")
def pidfd_getfd(world):
    child = paused_child()
    stolen = call("pidfd_getfd", call("pidfd_open", child, 0), 1, 0)
    end(child)
    return f"took a descriptor of process {child}: {stolen}"


@vector("io-uring")
def io_uring(world):
    # Without locked memory an older kernel has no room for a ring.
    return reach("io_uring_setup", 4, bytes(120))


@vector("add-key")
def add_key(world):
    # Into the keyring of this process, which goes with it.
    return f"key {call('add_key', b'user', b'hostile', b'x', 1, -2)}"


@vector("keyctl")
def keyctl(world):
    return reach("keyctl", 0, -3, 0)


@vector("bpf")
def bpf(world):
    return reach("bpf", 0, bytes(128), 128)


@vector("userfaultfd")
def userfaultfd(world):
    return reach("userfaultfd", 1)


@vector("perf-event-open")
def perf_event_open(world):
    return reach("perf_event_open", bytes(128), 0, -1, -1, 0)


@vector("fanotify")
def fanotify(world):
    return reach("fanotify_init", 0, 0)


@vector("open-by-handle")
def open_by_handle(world):
    return reach("open_by_handle_at", -100, bytes(16), 0)


@vector("load-module")
def load_module(world):
    return reach("init_module", 0, 0, b"")


@vector("kexec")
def kexec(world):
    return reach("kexec_load", 0, 0, 0, 0xFFFF0000)


@vector("kernel-log")
def kernel_log(world):
    return reach("syslog", 10, 0, 0)


@vector("personality")
def personality(world):
    return f"was {call('personality', 0x0040000)}"


@vector("set-clock")
def set_clock(world):
    # The time that it is, in case that nobody refuses.
    now = time.clock_gettime(time.CLOCK_REALTIME)
    return reach("clock_settime", 0, struct.pack("qq", int(now), int(now % 1 * 1e9)))


@vector("type-into-terminal")
def type_into_terminal(world):
    return reach("ioctl", 0, TIOCSTI, b"x")


@vector("outlive-worker")
def outlive_worker(world):
    call("prctl", 1, 0, 0, 0, 0)
    return "would not be killed with the worker"


@vector("change-limits")
def change_limits(world):
    # To no core file at all, which lets a handler of core files run outside, as root.
    call("prlimit64", 0, 4, struct.pack("QQ", 0, 0), 0)
    return "set a limit of its own"


@vector("foreign-architecture")
def foreign_architecture(world):
    if os.uname().machine != "x86_64":
        raise RuntimeError("known for x86-64 alone")
    # mov eax, 20 (getpid for 32 bits); int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("b814000000cd80c3"))
    place = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return f"a call of 32 bits answered {ctypes.CFUNCTYPE(ctypes.c_int)(place)()}"


@vector("capability")
def capability(world):
    # Every user is refused their own file without a mode, unless they may override that.
    os.close(os.open("/tmp/closed", os.O_CREAT | os.O_WRONLY, 0))
    if world.planted:
        os.chmod("/tmp/closed", 0o600)
    os.close(os.open("/tmp/closed", os.O_RDONLY))
    return "opened a file that nobody may open"


@vector("user-namespace")
def user_namespace(world):
    call("unshare", CLONE_NEWUSER)
    return "a user namespace of its own"


@vector("user-namespace-by-clone")
def user_namespace_by_clone(world):
    child = call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "a child in a user namespace of its own"


@vector("foreign-namespace")
def foreign_namespace(world):
    return reach("setns", -1, 0)


@vector("chroot")
def chroot(world):
    return reach("chroot", b"/tmp")


@vector("mount-in-nested-namespace")
def mount(world):
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    call("mount", b"none", b"/tmp", b"tmpfs", 0, 0)
    return "mounted a file system"


@vector("remount-sub-mount")
def remount(world):
    # In a namespace of its own first, where it would have the capability.
    try:
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    except OSError:
        pass
    call("mount", 0, b"/task/bundle", 0, MS_REMOUNT_BIND, 0)
    return "remounted the bundle, to be written"


@vector("odd-socket-families")
def odd_socket_families(world):
    made, errors = [], set()
    for name in ("AF_NETLINK", "AF_PACKET", "AF_INET6", "AF_ALG", "AF_VSOCK"):
        try:
            socket.socket(getattr(socket, name), socket.SOCK_DGRAM).close()
            made.append(name)
        except OSError as error:
            errors.add(error)
    if made:
        return f"made sockets: {', '.join(made)}"
    [kind] = {error.errno for error in errors}
    raise OSError(kind, os.strerror(kind))


@vector("raw-socket")
def raw_socket(world):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except PermissionError:
        return "the kernel looked whether this user may"
    return "made a raw socket"


@vector("core-dump")
def core_dump(world):
    os.chdir("/tmp")
    child = os.fork()
    if child == 0:
        os.abort()
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"it did not crash: {status}")
    if not os.WCOREDUMP(status):
        raise Denied("absent", "crashed without a core file")
    return f"left {os.listdir('/tmp')}"
