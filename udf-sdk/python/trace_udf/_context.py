"""What a UDF can do."""

from __future__ import annotations

import os
import sys
import time

from ._config import Config
from ._errors import TraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ._http import Answer
    from ._objects import Objects
    from ._rows import Rows
    from ._services import Services

_MAX_CHECKPOINT_BYTES = 64 * 1024
_MAX_DELIVERY_BYTES = 64 * 1024


class Context:
    """The attempt that this process is, and what it may do.

    Attributes:
        partition: Such as ``2013-01``; ``all`` for a job without partitions.
        org, dag, job: Where the task belongs.
        run_id, task_id, attempt_id: Such as ``r17``, ``t17.3`` and ``a40``.
        failures: How often the task failed before this attempt.
        deadline: When the platform ends the attempt, in Unix seconds; ``None`` without a limit.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = config = config or Config.from_env()
        self._connected: Services | None = None
        self._description: dict[str, Any] | None = None
        self._objects: Objects | None = None
        self._outputs = 0
        self.partition = config.partition
        self.org = config.org
        self.dag = config.dag
        self.job = config.job
        self.run_id = config.run
        self.task_id = config.task
        self.attempt_id = config.attempt
        self.failures = config.failures
        self.deadline = config.deadline

    def sql(self, query: str) -> Rows:
        """Runs one SELECT over the task's inputs, which are its tables.

        Raises:
            Denied: The statement reaches beyond the inputs, or is no SELECT.
            TraceError: It failed, or reached a limit.
        """
        return next(_decode(self._services.query(query), None))

    def table(self, name: str) -> Rows:
        """All rows of one input."""
        return self.sql(_select_all(name))

    def batches(self, source: str, size: int = 10_000) -> Iterator[Rows]:
        """The rows of an input, or of a SELECT, at most ``size`` at a time and in bounded memory."""
        if size < 1:
            raise TraceError("sandbox", "bad_size", "a batch has at least one row")
        query = _select_all(source) if _is_name(source) else source
        yield from _decode(self._services.query(query), size)

    def write(
        self,
        data: Any,
        name: str | None = None,
        format: str = "parquet",
        schema: Mapping[str, str] | None = None,
    ) -> str:
        """Writes a table, which becomes part of the task's output when the task succeeds.

        Args:
            data: An iterable of dicts, Rows, or a pyarrow, polars or pandas table. ``None``, NaN and
                infinite numbers are missing values. Dates, datetimes and Decimals keep their types.
            name: The file's name without its ending; ``part-0``, ``part-1``, … by default.
            format: ``parquet``; or ``csv`` or ``json``, which tables are not made of.
            schema: Types by column, where the values can't show them: bool, int64, float64, utf8, date,
                timestamp, timestamptz, decimal(P,S). An empty table needs it.

        Returns:
            The file's path.
        """
        from ._write import write

        if name is None:
            name = f"part-{self._outputs}"
            self._outputs += 1
        return write(self._config.writer, self._config.output_dir, data, name, format, schema)

    def log(self, message: object, **fields: object) -> None:
        """Puts a line into the task's log, with fields as ``name=value``."""
        parts = [str(message), *(f"{name}={value}" for name, value in fields.items())]
        sys.stdout.write(" ".join(parts) + "\n")
        sys.stdout.flush()

    def checkpoint(self) -> Any:
        """What an earlier attempt at this task saved last; ``None`` when none did."""
        saved = self._saved()
        return _parse_json(saved) if saved else None

    def save_checkpoint(self, value: Any) -> None:
        """Saves where the task is (anything that JSON holds, up to 64 KiB) for the attempt after this one."""
        import json

        saved = json.dumps(value).encode()
        if len(saved) > _MAX_CHECKPOINT_BYTES:
            detail = f"{len(saved)} bytes: save at most {_MAX_CHECKPOINT_BYTES}, a position and not data"
            raise TraceError("sandbox", "checkpoint_too_large", detail)
        if self._services.has_dispatcher:
            self._services.dispatcher("PUT", "checkpoint", saved, "application/octet-stream").read()
        else:
            with open(self._local_checkpoint(), "wb") as file:
                file.write(saved)

    def deliver(self, to: str, body: Any, key: str) -> str:
        """Has ``body`` (anything that JSON holds, up to 64 KiB) told to a webhook that the DAG declares for the job.

        The same ``key`` is the same delivery, in every attempt at the task: it is told once, however often the task is
        tried. It is told even if this attempt fails afterwards. In a local test it goes to the log.

        Returns:
            The delivery's id, such as ``dl17``.

        Raises:
            Denied: The DAG does not declare ``{ on: task_message, to: NAME, job: JOB }`` under ``deliver``.
        """
        import json

        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        if len(text.encode()) > _MAX_DELIVERY_BYTES:
            detail = f"{len(text.encode())} bytes: tell at most {_MAX_DELIVERY_BYTES}, where the data is and not the data"
            raise TraceError("sandbox", "delivery_too_large", detail)
        if not self._services.has_dispatcher:
            self.log(f"deliver to {to} ({key}): {text}")
            return "dl1"
        request = json.dumps({"to": to, "key": key, "body": body}).encode()
        reply = self._services.dispatcher("POST", "deliveries", request, "application/json").read()
        return str(_parse_json(reply)["delivery"])

    def remaining(self) -> float | None:
        """Seconds until the deadline, 0 when it has passed; ``None`` without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    @property
    def params(self) -> dict[str, Any]:
        """The run's parameters; none in a local test."""
        return dict(self._describe()["params"])

    @property
    def inputs(self) -> list[str]:
        """The names of the task's inputs."""
        return list(self._describe()["inputs"])

    @property
    def files(self) -> dict[str, str]:
        """Paths of the job's files by name, as its ``files:`` declares them."""
        folder = self._config.files_dir
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return {name: os.path.join(folder, name) for name in sorted(names)}

    @property
    def objects(self) -> Objects:
        """The object store, as far as the capability reaches."""
        if self._objects is None:
            from ._objects import Objects

            self._objects = Objects(self._services, self._config.s3_endpoint, self._describe)
        return self._objects

    @property
    def _services(self) -> Services:
        if self._connected is None:
            from ._services import Services

            self._connected = Services(self._config)
        return self._connected

    def _describe(self) -> dict[str, Any]:
        if self._description is None:
            if self._services.has_dispatcher:
                answer = self._services.dispatcher("GET", "context")
                self._description = _parse_json(answer.read())
            else:
                self._description = {"params": {}, "inputs": self._local_inputs()}
        return self._description

    def _local_inputs(self) -> list[str]:
        folder = self._config.local_inputs
        names = os.listdir(folder) if folder else []
        return sorted(name[: -len(".parquet")] for name in names if name.endswith(".parquet"))

    def _saved(self) -> bytes:
        if self._services.has_dispatcher:
            try:
                return self._services.dispatcher("GET", "checkpoint").read()
            except TraceError as error:
                if error.code == "not_found":
                    return b""
                raise
        try:
            with open(self._local_checkpoint(), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def _local_checkpoint(self) -> str:
        return os.path.join(self._config.temp_dir, "trace-checkpoint.json")


def _decode(answer: Answer, size: int | None) -> Iterator[Rows]:
    from ._http import MAX_ANSWER_BYTES
    from ._rows import decode

    return decode(answer.pieces(MAX_ANSWER_BYTES), size)


def _parse_json(body: bytes) -> Any:
    from ._services import parse_json

    return parse_json("dispatcher", body)


def _is_name(text: str) -> bool:
    return text.isascii() and text.isidentifier()


def _select_all(name: str) -> str:
    if not _is_name(name):
        raise TraceError("sandbox", "bad_name", f"`{name[:120]}` is no input's name: see ctx.inputs")
    return f"SELECT * FROM {name}"
