"""Outputs: what lies in the output folder when the task succeeds becomes its dataset."""

from __future__ import annotations

import os

from ._errors import TraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_PIPE_BYTES = 64 * 1024


def write(
    writer: str, folder: str, data: Any, name: str, format: str, schema: Mapping[str, str] | None
) -> str:
    """Writes rows or a data frame and returns the file's path.

    Args:
        writer: The native Parquet writer's path.
        folder: Where to.
    """
    if not (0 < len(name) <= 100) or name.startswith(".") or not _ALLOWED.issuperset(name):
        detail = f"`{name[:120]}` can't name an output: use letters, digits, `_`, `-` and `.`"
        raise TraceError("sandbox", "bad_name", detail)
    if format not in ("parquet", "csv", "json"):
        raise TraceError("sandbox", "bad_format", f"`{format}` is no format: use parquet, csv or json")
    path = os.path.join(folder, f"{name}.{format}")
    if os.path.exists(path):
        raise TraceError(
            "sandbox", "output_exists", f"{path} is there already: give each output its own name"
        )
    if format == "parquet" and schema is None and _write_frame(data, path):
        return path
    rows = _rows(data)
    if format == "parquet":
        from ._encode import lines

        _write_parquet(writer, path, lines(rows, schema))
    elif format == "csv":
        _write_csv(path, rows)
    else:
        _write_json(path, rows)
    return path


def _write_frame(data: Any, path: str) -> bool:
    """Lets a data frame that can write Parquet do so itself, without a detour through rows."""
    library = type(data).__module__.partition(".")[0]
    if library == "pyarrow":
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_batches([data]) if isinstance(data, pyarrow.RecordBatch) else data
        pyarrow.parquet.write_table(table, path, compression="zstd")
        return True
    if library == "polars":
        frame = data.collect() if hasattr(data, "collect") else data
        frame.write_parquet(path, compression="zstd")
        return True
    if library == "pandas":
        try:
            import pyarrow
        except ImportError:
            return False
        return _write_frame(pyarrow.Table.from_pandas(data, preserve_index=False), path)
    return False


def _rows(data: Any) -> Iterable[Mapping[str, Any]]:
    """Rows of whatever has some."""
    library = type(data).__module__.partition(".")[0]
    if library == "pyarrow":
        rows: Iterable[Mapping[str, Any]] = data.to_pylist()
        return rows
    if library == "polars":
        frame = data.collect() if hasattr(data, "collect") else data
        return iter(frame.iter_rows(named=True))
    if library == "pandas":
        # pandas' own markers of a missing value (NaN, NaT, NA) become None.
        plain = data.astype(object)
        records: list[Mapping[str, Any]] = plain.where(data.notna(), None).to_dict("records")
        return records
    if isinstance(data, (str, bytes, dict)) or not hasattr(data, "__iter__"):
        detail = f"a {type(data).__name__} is no table: write a list of dicts, Rows, or a data frame"
        raise TraceError("sandbox", "unwritable", detail)
    given: Iterable[Mapping[str, Any]] = data
    return given


def _write_parquet(writer: str, path: str, lines: Iterator[bytes]) -> None:
    """Pipes lines to the native writer, which leaves no file behind when it refuses them."""
    stdin, to_writer = os.pipe()
    from_writer, stderr = os.pipe()
    try:
        process = os.posix_spawn(
            writer,
            [writer, path],
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stderr, 2)],
        )
    except OSError as error:
        os.close(to_writer)
        os.close(from_writer)
        raise TraceError("sandbox", "no_writer", f"{writer}: {error.strerror}") from error
    finally:
        os.close(stdin)
        os.close(stderr)
    try:
        _send(to_writer, lines)
    except BaseException:
        # The end of its input would look like success to the writer: it must go first.
        _end(process)
        os.close(to_writer)
        os.close(from_writer)
        if os.path.exists(path):
            os.unlink(path)
        raise
    os.close(to_writer)
    with os.fdopen(from_writer, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace").strip()
    status = os.waitpid(process, 0)[1]
    if status != 0:
        raise TraceError(
            "sandbox", "unwritable", f"{os.path.basename(path)}: {said or f'wait status {status}'}"
        )


def _send(to_writer: int, lines: Iterator[bytes]) -> None:
    waiting: list[bytes] = []
    size = 0
    try:
        for line in lines:
            waiting.append(line)
            size += len(line)
            if size >= _PIPE_BYTES:
                _write_all(to_writer, b"".join(waiting))
                waiting, size = [], 0
        _write_all(to_writer, b"".join(waiting))
    except BrokenPipeError:
        # It has seen enough; what it said tells why.
        return


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _end(process: int) -> None:
    from signal import SIGKILL

    os.kill(process, SIGKILL)
    os.waitpid(process, 0)


def _write_csv(path: str, rows: Iterable[Mapping[str, Any]]) -> None:
    import csv

    with open(path, "x", newline="", encoding="utf-8") as file:
        output: csv.DictWriter[str] | None = None
        for number, row in enumerate(rows, 1):
            if output is None:
                output = csv.DictWriter(file, list(row), lineterminator="\n")
                output.writeheader()
            try:
                output.writerow(row)
            except ValueError as error:
                raise TraceError("sandbox", "unwritable", f"row {number}: {error}") from error


def _write_json(path: str, rows: Iterable[Mapping[str, Any]]) -> None:
    from ._encode import lines

    encoded = lines(rows, {})
    next(encoded)
    with open(path, "xb") as file:
        before = b"["
        for line in encoded:
            file.write(before + b"\n" + line.rstrip(b"\n"))
            before = b","
        file.write(b"[]\n" if before == b"[" else b"\n]\n")
