"""What the author of a Python UDF imports; the standard library is all it needs.

    from trace_udf import task

    @task
    def run(ctx):
        rows = ctx.sql("SELECT origin, avg(dep_delay) AS delay FROM flights GROUP BY origin")
        ctx.write(rows)

Modules that cost time to import (json, socket, hashlib) are imported where they are first used:
a task starts in milliseconds.
"""

from __future__ import annotations

import builtins
import sys

from ._errors import Denied, TraceError
from ._task import task

# A task is started without the module `site`, which would define these.
for _name in ("exit", "quit"):
    if not hasattr(builtins, _name):
        setattr(builtins, _name, sys.exit)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._context import Context
    from ._objects import Objects
    from ._rows import Rows

__all__ = ["Context", "Denied", "Objects", "Rows", "TraceError", "task"]

_LATER = {"Context": "_context", "Objects": "_objects", "Rows": "_rows"}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
