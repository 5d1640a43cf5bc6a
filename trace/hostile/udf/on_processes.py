"""Attacks on other processes, and on what the worker has."""

import os
import signal

from attempts import SECRET, Denied, vector
from kernel import call


def plant_child(world):
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    world.targets["pid"] = child


def finish(world):
    if world.planted:
        os.kill(world.pid, signal.SIGKILL)
        os.waitpid(world.pid, 0)


@vector("see-processes")
def see_processes(world):
    own = {os.getpid(), os.getppid()}
    others = sorted({int(name) for name in os.listdir("/proc") if name.isdigit()} - own)
    if not others:
        raise Denied("absent", "it and its child are all there is")
    return f"sees {len(others)} processes"


@vector("processes-environment", planted=plant_child)
def processes_environment(world):
    with open(f"/proc/{world.pid}/environ", "rb") as file:
        got = len(file.read())
    finish(world)
    return f"read {got} bytes"


@vector("processes-memory", planted=plant_child)
def processes_memory(world):
    with open(f"/proc/{world.pid}/mem", "rb"):
        finish(world)
        return f"opened the memory of {world.pid}"


@vector("signal-processes", planted=plant_child)
def signal_processes(world):
    os.kill(world.pid, 0)
    finish(world)
    return f"could end process {world.pid}"


@vector("processes-handle", planted=plant_child)
def processes_handle(world):
    handle = call("pidfd_open", world.pid, 0)
    finish(world)
    return f"holds a handle {handle}"


@vector("inherited-descriptors")
def inherited_descriptors(world):
    # Not by listing, which opens one more; and without moving what others read too.
    for descriptor in range(3, 1024):
        try:
            content = os.pread(descriptor, 1000, 0)
        except OSError:
            continue
        if SECRET in content:
            return f"read a secret from descriptor {descriptor}"
    raise Denied("absent", "no descriptor leads to it")


@vector("inherited-environment")
def inherited_environment(world):
    names = [name for name, value in os.environb.items() if SECRET in value]
    if not names:
        raise Denied("absent", f"{len(os.environb)} variables, none of the worker's")
    return f"read {names}"


@vector("kernel-settings")
def kernel_settings(world):
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        return f"read {file.read()!r}"


@vector("write-kernel-file")
def write_kernel_file(world):
    # The value that it has, of this very process.
    with open("/proc/self/oom_score_adj", encoding="utf-8") as file:
        value = file.read()
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(descriptor, value.encode())
    return f"wrote {value.strip()}"


