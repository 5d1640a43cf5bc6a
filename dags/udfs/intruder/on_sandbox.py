"""Attacks on the sandbox: out to the network, to other processes, to the host's files and its kernel.

Each is tried in a process of its own, and leaves nothing behind where it succeeds.
"""

import glob
import os
import socket
import sys
import tempfile

from attempts import Blocked, attack

SYS_BPF = 321
SYS_IO_URING_SETUP = 425
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MNT_DETACH = 2
PTRACE_SEIZE = 0x4206


def libc():
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        import ctypes

        error = ctypes.get_errno()
        raise Blocked(f"{os.strerror(error)} (errno {error})")
    return result


def connect(host, port, kind=socket.SOCK_STREAM):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.settimeout(4)
        sock.connect((host, port))
        return f"connected to {host}:{port}"


@attack("sandbox", "internet by TCP", "1.1.1.1:443")
def internet(world):
    return connect("1.1.1.1", 443)


@attack("sandbox", "internet by DNS", "example.com")
def dns(world):
    return f"resolved to {socket.getaddrinfo('example.com', 443)[0][4]}"


@attack("sandbox", "internet by UDP", "8.8.8.8:53")
def udp(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(4)
        sock.sendto(
            bytes.fromhex("000101000001000000000000076578616d706c6503636f6d0000010001"), ("8.8.8.8", 53)
        )
        return f"answered with {len(sock.recv(512))} bytes"


@attack("sandbox", "cloud metadata", "169.254.169.254:80")
def metadata(world):
    return connect("169.254.169.254", 80)


@attack("sandbox", "PostgreSQL by Unix socket", "/run/postgresql, /tmp, abstract")
def postgres_socket(world):
    places = ["/var/run/postgresql/.s.PGSQL.5432", "/run/postgresql/.s.PGSQL.5432", "/tmp/.s.PGSQL.5432"]
    places += glob.glob("/tmp/**/.s.PGSQL.*", recursive=True) + glob.glob("/**/.s.PGSQL.*")
    places += abstract_sockets()
    refusals = set()
    for place in places:
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(4)
                sock.connect(place)
                return f"connected to {place}"
        except OSError as error:
            refusals.add(error.strerror or type(error).__name__)
    raise Blocked(f"{len(places)} places: {', '.join(sorted(refusals))}")


def abstract_sockets():
    try:
        with open("/proc/net/unix", encoding="utf-8") as file:
            names = [line.split()[-1] for line in file]
    except OSError:
        return []
    return [name.replace("@", "\0", 1) for name in names if "PGSQL" in name]


@attack("sandbox", "PostgreSQL by TCP", "127.0.0.1:5432, [::1]:5432")
def postgres_tcp(world):
    refusals = []
    for host in ("127.0.0.1", "::1"):
        try:
            return connect(host, 5432)
        except OSError as error:
            refusals.append(f"{host}: {error.strerror or error}")
    raise Blocked("; ".join(refusals))


@attack("sandbox", "environment of other processes", "/proc/*/environ")
def foreign_environment(world):
    own = set(os.environ)
    seen, refused, alike = [], 0, 0
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                names = {
                    pair.partition(b"=")[0].decode("utf-8", "replace") for pair in file.read().split(b"\0")
                }
        except OSError:
            refused += 1
            continue
        foreign = sorted(names - own - {""})
        seen += [f"{pid}: {', '.join(foreign[:5])}"] if foreign else []
        alike += not foreign
    if seen:
        return f"read variables that are not its own: {'; '.join(seen)}"
    raise Blocked(
        f"{refused} processes refused, {alike} with the attempt's own variables or none, no other in sight"
    )


@attack("sandbox", "environment of the parent", "/proc/PPID/environ")
def parent_environment(world):
    return other_process("environ")


@attack("sandbox", "memory of other processes", "/proc/*/mem")
def foreign_memory(world):
    refusals = set()
    for pid in others():
        try:
            with open(f"/proc/{pid}/mem", "rb"):
                return f"opened the memory of process {pid}"
        except OSError as error:
            refusals.add(error.strerror)
    raise Blocked(", ".join(sorted(refusals)) or "no process but its own is there")


def others():
    """Processes in sight that are not the attempt's own: neither this one nor the UDF that started it."""
    return sorted({int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid(), os.getppid()})


def other_process(what):
    # The process that was started by the wrapper is the parent of this child.
    with open(f"/proc/{os.getppid()}/status", encoding="utf-8") as file:
        parent = next(int(line.split()[1]) for line in file if line.startswith("PPid:"))
    if parent == 0:
        raise Blocked("the parent lies outside of this process namespace")
    with open(f"/proc/{parent}/{what}", "rb") as file:
        content = file.read()
    names = {pair.partition(b"=")[0].decode("utf-8", "replace") for pair in content.split(b"\0")} - {""}
    if not names - set(os.environ):
        raise Blocked(f"process {parent} has only the attempt's own variables or none")
    return f"read {sorted(names)[:5]} of process {parent}"


@attack("sandbox", "ptrace", "process 1")
def ptrace(world):
    return f"attached: {check(libc().ptrace(PTRACE_SEIZE, 1, 0, 0))}"


@attack("sandbox", "signals to other processes", "every one in sight")
def signals(world):
    reached = []
    for pid in others():
        try:
            os.kill(pid, 0)
            reached.append(pid)
        except OSError:
            continue
    if reached:
        return f"could signal {reached}"
    raise Blocked("no process but its own is there")


@attack("sandbox", "host file", "/etc/shadow")
def shadow(world):
    with open("/etc/shadow", encoding="utf-8") as file:
        return f"read {len(file.read())} characters"


@attack("sandbox", "host folder", "/root")
def root_home(world):
    # The interpreter may live there, and then the way to it is to be seen and nothing else.
    interpreter = os.path.realpath(sys.executable).split("/")
    way = interpreter[2] if interpreter[1] == "root" else None
    found = [name for name in os.listdir("/root") if name != way]
    if not found:
        raise Blocked(f"nothing is there but the way to the interpreter ({way})")
    return f"listed {found[:5]}"


@attack("sandbox", "host disk by way of the first process", "/proc/1/root/home")
def first_root(world):
    return f"listed {os.listdir('/proc/1/root/home')[:5]}"


@attack("sandbox", "write to the code", "/task/bundle, /trace, /usr")
def write_code(world):
    refusals = []
    for folder in ("/task/bundle", "/trace/python", "/usr", "/"):
        try:
            descriptor, path = tempfile.mkstemp(prefix="intruder-", dir=folder)
        except OSError as error:
            refusals.append(f"{folder}: {error.strerror}")
            continue
        os.close(descriptor)
        os.unlink(path)
        return f"wrote to {folder}"
    raise Blocked("; ".join(refusals))


@attack("sandbox", "mount", "a tmpfs on a folder of its own")
def mount(world):
    with tempfile.TemporaryDirectory() as folder:
        check(libc().mount(b"none", folder.encode(), b"tmpfs", 0, None))
        check(libc().umount2(folder.encode(), MNT_DETACH))
        return "mounted, and took it away again"


@attack("sandbox", "new user namespace", "unshare")
def unshare(world):
    return f"unshared: {check(libc().unshare(CLONE_NEWUSER | CLONE_NEWNS))}"


@attack("sandbox", "chroot", "/tmp")
def chroot(world):
    os.chroot("/tmp")
    return "changed the root"


@attack("sandbox", "device", "mknod of a disk")
def device(world):
    with tempfile.TemporaryDirectory() as folder:
        os.mknod(f"{folder}/disk", 0o060600, os.makedev(8, 0))
        return "made a block device"


@attack("sandbox", "raw network socket", "AF_PACKET")
def packets(world):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
        return "opened"


@attack("sandbox", "kernel setting", "/proc/sys/kernel/core_pattern")
def core_pattern(world):
    with open("/proc/sys/kernel/core_pattern", "r+", encoding="utf-8"):
        return "opened for writing"


@attack("sandbox", "bpf", "bpf(2)")
def bpf(world):
    return f"called: {check(libc().syscall(SYS_BPF, 0, None, 0))}"


@attack("sandbox", "io_uring", "io_uring_setup(2)")
def io_uring(world):
    return f"called: {check(libc().syscall(SYS_IO_URING_SETUP, 4, bytes(120)))}"
