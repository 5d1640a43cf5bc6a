"""Attacks on what a task may use. Each is the whole of a task, and stops slightly past the limit."""

import ctypes
import os
import select
import signal

from attempts import vector

MIB = 1 << 20


@vector("fill-memory")
def fill_memory(world):
    # The limit is 64 MiB.
    kept = [b"x" * MIB for _ in range(96)]
    return f"filled {len(kept)} MiB"


@vector("fork-bomb")
def fork_bomb(world):
    # The limit is 64 processes.
    children = []
    try:
        for _ in range(80):
            child = os.fork()
            if child == 0:
                while True:
                    signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    return f"made {len(children)} processes"


@vector("fill-disk")
def fill_disk(world):
    # The limit is 16 MiB, for all files together and for each.
    for number in range(6):
        with open(f"/tmp/{number}", "wb") as file:
            for _ in range(4):
                file.write(b"x" * MIB)
    return "filled 24 MiB"


@vector("fill-files")
def fill_files(world):
    # The limit is 10,000 files.
    for number in range(10_500):
        os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))
    return "made 10,500 files"


@vector("outstay")
def outstay(world):
    # The limit is 2 seconds; signals that can be ignored are.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    select.select([], [], [], 4)
    return "had 4 seconds"


@vector("flood-log")
def flood_log(world):
    line = b"flood " * 170 + b"\n"
    for _ in range(2048):
        os.write(1, line)
    return "printed 2 MiB"


@vector("outlive")
def outlive(world):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, world.orphan.encode(), 0, 0, 0)
            os.write(writer, b"x")
            for descriptor in range(3):
                os.close(descriptor)
            while True:
                signal.pause()
        os._exit(0)
    os.wait()
    os.read(reader, 1)
    return "left a process of another session behind"
