"""The frame of a UDF."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ._context import Context

    Udf = TypeVar("Udf", bound=Callable[[Context], object])


def task(function: Udf) -> Udf:
    """Marks the function that is the task: ``@task def run(ctx)``.

    It runs there and then when its file is the program that was started, so that it belongs at the
    file's end. Imported, such as by a test, it is a function like any other. An error ends the
    process with 1, and the platform tries again as the job's ``retries`` say.
    """
    if function.__module__ == "__main__":
        from ._context import Context

        try:
            function(Context())
        except NameError as error:
            if hasattr(error, "add_note"):
                error.add_note("(a @task runs where it is defined: put it below all that it uses)")
            raise
    return function
