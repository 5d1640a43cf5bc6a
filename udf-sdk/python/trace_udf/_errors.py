"""Errors that say which part of the platform refused, and what to do."""

from __future__ import annotations


class TraceError(Exception):
    """A call of the SDK failed.

    Attributes:
        plane: Who answered: ``dispatcher``, ``query``, ``object_store``, or ``sandbox`` for what
            failed in the task itself.
        code: What kind of failure, stable: ``sql_failed``, ``limit_exceeded``, ``unreachable``, …
        detail: What happened and what to do about it.
        status: The HTTP status of the answer; 0 when there was none.
    """

    def __init__(self, plane: str, code: str, detail: str, status: int = 0) -> None:
        super().__init__(plane, code, detail, status)
        self.plane = plane
        self.code = code
        self.detail = detail
        self.status = status

    def __str__(self) -> str:
        return f"{self.plane} answered {self.code}: {self.detail}"


class Denied(TraceError):
    """The capability does not allow it: another try changes nothing."""

    def __str__(self) -> str:
        return f"denied by {self.plane} ({self.code}): {self.detail}"


_DENIED_STATUS = (401, 403)
_DENIED_CODES = ("sql_refused", "not_found")


def from_answer(plane: str, status: int, code: str, detail: str) -> TraceError:
    """The error that an answer which is not a success stands for."""
    denied = status in _DENIED_STATUS or code in _DENIED_CODES
    return (Denied if denied else TraceError)(plane, code, detail, status)
