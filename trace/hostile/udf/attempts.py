"""How an attack is tried, and how what came of it is told.

An attack is a function that returns what it got. It was refused when it raises OSError (told as
`errno EPERM`) or Denied (in its own words), or when the kernel ended it (`killed SIGSYS`). Anything
else it raises means that it could not be tried, and no judge takes that for a denial.
"""

import errno
import json
import os
import signal
import socket
import sys

# Beside this file in the bundle; the intruder of the demo has it.
from child import in_child

# How every secret of the machine begins; the rest is known to the judge alone.
SECRET = b"hostile-" + b"secret-"


class Denied(Exception):
    """Something refused the attack: `how` is what the judge compares."""

    def __init__(self, how, detail=""):
        super().__init__(how)
        self.how = how
        self.detail = detail


class World:
    """Where the attacks aim at, and whether that was planted where it can be reached."""

    def __init__(self, order):
        self.targets = order["targets"]
        self.planted = order["planted"]

    def __getattr__(self, name):
        return self.targets[name]


VECTORS = {}
# What a task does that attacks nothing: it leaves a table, or holds on.
THEN = {}


def vector(name, planted=None):
    """Registers a function as the attack of this name. `planted` puts its target within reach: it is
    called first where the vector's control is to show that the attack itself works."""

    def register(function):
        VECTORS[name] = (function, planted)
        return function

    return register


def main():
    with open("order.json", encoding="utf-8") as file:
        order = json.load(file)
    world = World(order)
    if order.get("then"):
        return THEN[order["then"][0]](world, *order["then"][1:])
    for name in order["vectors"]:
        if order["alone"]:
            seen = tried(name, world)
            tell(name, seen)
            # A task whose attack was refused fails, so that the platform says what it ran into.
            sys.exit(0 if seen["got"] else 3)
        tell(name, of_child(name, world, order["seconds"]))


def tell(name, seen):
    print("hostile " + json.dumps({"vector": name, **seen}), flush=True)


def tried(name, world):
    """Tries an attack here and now."""
    function, plant = VECTORS[name]
    try:
        if world.planted and plant:
            plant(world)
        return {"got": True, "how": "got", "detail": str(function(world))[:300]}
    except Denied as denied:
        return refused(denied.how, denied.detail)
    except socket.gaierror as error:
        return refused("no name", error)
    except TimeoutError as error:
        return refused("timeout", error)
    except OSError as error:
        return refused(f"errno {errno.errorcode.get(error.errno, error.errno)}", error)
    except Exception as error:
        return refused("could not be tried", f"{type(error).__name__}: {error}")


def refused(how, detail):
    return {"got": False, "how": how, "detail": str(detail)[:300]}


def of_child(name, world, seconds):
    """The same in a child, which the kernel may kill."""
    answer, status = in_child(lambda: tried(name, world), seconds)
    if answer:
        return answer
    if os.WIFSIGNALED(status):
        return refused(f"killed {signal.Signals(os.WTERMSIG(status)).name}", "by the kernel")
    return refused("could not be tried", f"wait status {status}")
