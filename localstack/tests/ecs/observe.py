# What a UDF sees and how it ends, one partition for each question. It knows nothing of what runs it.
import json
import os
import resource
import signal
import subprocess
import sys


def refusal(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return type(error).__name__
    return "allowed"


def descriptors():
    own = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        return sorted(int(name) for name in os.listdir(own) if int(name) != own)
    finally:
        os.close(own)


def observe():
    limit = resource.getrlimit
    return {
        "variables": dict(os.environ),
        "folder": os.getcwd(),
        "arguments": sys.argv,
        "modules_from": sys.path,
        "python": sys.version,
        "flags": [sys.flags.no_site, sys.flags.dont_write_bytecode, sys.flags.isolated],
        "descriptors": descriptors(),
        "input": sys.stdin.read(),
        "bundle": sorted(os.listdir("/task/bundle")),
        "files": sorted(os.listdir("/task/files")),
        "output": os.listdir("/out"),
        "temporary": os.listdir("/tmp"),
        "umask": os.umask(0o022),
        "is_root": os.geteuid() == 0,
        "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
        "no_new_privileges": [line.split()[1] for line in open("/proc/self/status") if line.startswith("NoNewPrivs")],
        "open_files": limit(resource.RLIMIT_NOFILE),
        "core": limit(resource.RLIMIT_CORE),
        "locked_memory": limit(resource.RLIMIT_MEMLOCK),
        "file_size": limit(resource.RLIMIT_FSIZE),
        "terminate": str(signal.getsignal(signal.SIGTERM)),
        "interrupt": str(signal.getsignal(signal.SIGINT)),
        "blocked": [line.split()[1] for line in open("/proc/self/status") if line.startswith("SigBlk")],
        "write_beside": refusal(open, "/beside", "w"),
        "write_over_the_bundle": refusal(open, "/task/bundle/main.py", "a"),
    }


partition = os.environ["TRACE_PARTITION"]
print("partition", partition)
print("and a complaint", file=sys.stderr)
if partition == "observe":
    seen = json.dumps(observe(), indent=1, sort_keys=True)
    os.makedirs("/out/deep/folder")
    with open("/out/observed.json", "w") as file:
        file.write(seen)
    with open("/out/deep/folder/more = 1.bin", "wb") as file:
        file.write(bytes(range(256)) * 1000)
elif partition == "status":
    sys.exit(3)
elif partition == "raises":
    raise ValueError("no rows")
elif partition == "signal":
    import ctypes

    ctypes.string_at(0)
elif partition == "timeout":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()
elif partition == "link":
    os.symlink("/etc/passwd", "/out/link")
elif partition == "orphan":
    # It has left the group, holds the pipes, and would write later.
    subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(600); open('/out/late', 'w')"], start_new_session=True
    )
    with open("/out/early", "w") as file:
        file.write("x")
