"""Attacks on files: the machine's, the code's, and what the worker reads afterwards."""

import os
import shutil
import stat
import sys

from attempts import Denied, vector


def read(path):
    with open(path, "rb") as file:
        return f"read {len(file.read(1000))} bytes of {path}"


def plant_file(world):
    path = "/tmp/planted"
    with open(path, "w", encoding="utf-8") as file:
        file.write("planted")
    world.targets["host_file"] = path


@vector("host-file", planted=plant_file)
def host_file(world):
    return read(world.host_file)


@vector("host-file-by-process", planted=plant_file)
def host_file_by_process(world):
    # Through the root folder of process 1, which would be the machine's if that were another one.
    return read(f"/proc/1/root{world.host_file}")


@vector("kernel-files", planted=plant_file)
def kernel_files(world):
    return read(world.host_file if world.planted else "/sys/kernel/mm/transparent_hugepage/enabled")


@vector("group-files", planted=plant_file)
def group_files(world):
    return read(world.host_file if world.planted else "/sys/fs/cgroup/cgroup.procs")


@vector("devices")
def devices(world):
    places = ["/dev/null"] if world.planted else ["/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/sda", "/dev/vda"]
    errors = set()
    for place in places:
        try:
            os.close(os.open(place, os.O_RDONLY))
            return f"opened {place}"
        except OSError as error:
            errors.add(error.errno)
    [kind] = errors
    raise OSError(kind, os.strerror(kind))


@vector("device-node")
def device_node(world):
    # A pipe is the kind of node that anybody may make.
    kind = stat.S_IFIFO if world.planted else stat.S_IFBLK
    os.mknod("/tmp/node", kind | 0o600, os.makedev(8, 0))
    return "made a node"


@vector("set-user-id-programs", planted=lambda world: os.close(os.open("/tmp/program", os.O_CREAT | os.O_WRONLY, 0o755)))
def set_user_id_programs(world):
    if world.planted:
        os.chmod("/tmp/program", 0o4755)
    seen = 0
    for folder, _, names in os.walk("/"):
        if folder.startswith("/proc"):
            continue
        for name in names:
            seen += 1
            status = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
                return f"found {folder}/{name}"
    raise Denied("absent", f"none among {seen} files")


@vector("execute-written")
def execute_written(world):
    shutil.copy(sys.executable, "/tmp/program")
    os.chmod("/tmp/program", 0o755)
    child = os.posix_spawn("/tmp/program", ["program", "-I", "-S", "-c", ""], {})
    os.waitpid(child, 0)
    return "ran a program that it wrote"


@vector("touch-shown")
def touch_shown(world):
    os.utime("/dev/null")
    return "changed the times of a file of the machine"


@vector("change-root-folder")
def change_root_folder(world):
    os.chmod("/", 0o755)
    return "changed the root folder"


def write(path):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    return f"opened {path} for writing"


@vector("swapped-in-cache", planted=plant_file)
def swapped_in_cache(world):
    return write(world.host_file if world.planted else "/task/bundle/main.py")


@vector("deleted-from-cache", planted=plant_file)
def deleted_from_cache(world):
    os.unlink(world.host_file if world.planted else "/task/bundle/main.py")
    return "deleted its own code from the worker's cache"


@vector("linked-from-cache", planted=plant_file)
def linked_from_cache(world):
    target = world.host_file if world.planted else "/task/bundle/main.py"
    os.link(target, "/tmp/link")
    return "has a name of its own for the file in the worker's cache"


@vector("swapped-file", planted=plant_file)
def swapped_file(world):
    return write(world.host_file if world.planted else "/task/files/data")


@vector("change-sdk", planted=plant_file)
def change_sdk(world):
    return write(world.host_file if world.planted else "/trace/python/trace_udf/__init__.py")


@vector("output-link")
def output_link(world):
    os.symlink(world.host_file, "/out/leak.txt")
    return "left a link to a file of the machine"


@vector("output-hard-link")
def output_hard_link(world):
    with open("/out/one.txt", "w", encoding="utf-8") as file:
        file.write("one")
    os.link("/out/one.txt", "/out/two.txt")
    return "left two names of one file"


@vector("output-pipe")
def output_pipe(world):
    os.mkfifo("/out/pipe")
    return "left a pipe that nobody writes to"
