"""System calls by name, without a library in between."""

import ctypes
import errno
import os

# Of x86-64, and of the architectures with the common table.
NUMBERS = {
    "x86_64": {
        "clone": 56, "ptrace": 101, "syslog": 103, "personality": 135, "modify_ldt": 154, "chroot": 161,
        "mount": 165, "init_module": 175, "clock_settime": 227, "kexec_load": 246, "add_key": 248,
        "keyctl": 250, "unshare": 272, "perf_event_open": 298, "fanotify_init": 300,
        "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "bpf": 321, "userfaultfd": 323,
        "ioctl": 16, "prctl": 157, "prlimit64": 302,
    },
    "aarch64": {
        "clone": 220, "ptrace": 117, "syslog": 116, "personality": 92, "chroot": 51, "mount": 40,
        "init_module": 105, "clock_settime": 112, "kexec_load": 104, "add_key": 217, "keyctl": 219,
        "unshare": 97, "perf_event_open": 241, "fanotify_init": 262, "open_by_handle_at": 265, "setns": 268,
        "process_vm_readv": 270, "bpf": 280, "userfaultfd": 282, "ioctl": 29, "prctl": 167, "prlimit64": 261,
    },
}
COMMON = {"io_uring_setup": 425, "open_tree": 428, "fsopen": 430, "pidfd_open": 434, "pidfd_getfd": 438}

LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    """Makes a system call; its error becomes an OSError."""
    number = NUMBERS[os.uname().machine].get(name) or COMMON[name]
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *passed)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def reach(name, *arguments):
    """Makes a system call whose goal is the kernel's code behind it: whatever that answers is a success,
    and only a call that is not there is a refusal."""
    try:
        return f"the kernel took {name}, and answered {call(name, *arguments)}"
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise
        return f"the kernel took {name}, and answered {errno.errorcode.get(error.errno)}"
