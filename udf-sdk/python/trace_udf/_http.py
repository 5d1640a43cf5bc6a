"""A small HTTP/1.1 client for plain HTTP to the sandbox's own loopback.

``http.client`` and what it imports would cost a task more than all of its calls. One connection a
request, bounded in size and by the attempt's deadline.
"""

from __future__ import annotations

import time

from ._errors import TraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

MAX_ANSWER_BYTES = 1024 * 1024 * 1024
"""The longest body of an answer; a query's own limits are lower."""

_MAX_PROBLEM_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 64 * 1024
_MAX_WAIT_SECONDS = 600.0
_CHUNK_BYTES = 256 * 1024
_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.2
_BUSY_STATUS = (429, 503)


class Request:
    """One request. All of the SDK's may be repeated without harm."""

    __slots__ = ("plane", "method", "base", "path", "headers", "body")

    def __init__(
        self, plane: str, method: str, base: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> None:
        self.plane = plane
        self.method = method
        self.base = base
        self.path = path
        self.headers = headers
        self.body = body


class Answer:
    """The head of an answer, whose body is still to be read."""

    def __init__(self, connection: _Connection, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection

    def pieces(self, limit: int) -> Iterator[bytes]:
        """The body as it arrives; an error past ``limit`` bytes."""
        connection = self._connection
        try:
            total = 0
            for piece in connection.body(self.status, self.headers):
                total += len(piece)
                if total > limit:
                    raise connection.error(f"an answer of more than {limit} bytes: ask for less at a time")
                yield piece
        finally:
            connection.close()

    def read(self, limit: int = MAX_ANSWER_BYTES) -> bytes:
        """The whole body."""
        return b"".join(self.pieces(limit))


class Http:
    """Calls services until the attempt's deadline (Unix seconds), if there is one."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline

    def ask(self, request: Request, explain: Callable[[Request, int, bytes], TraceError]) -> Answer:
        """Sends a request, again while the service is busy and time is left.

        ``explain`` makes the error of an answer that is not a success.
        """
        pause, tries = _FIRST_PAUSE_SECONDS, 0
        while True:
            tries += 1
            answer = self._send(request)
            if answer.status < 300:
                return answer
            error = explain(request, answer.status, answer.read(_MAX_PROBLEM_BYTES))
            last = tries == _TRIES or self._time_left() <= pause
            if answer.status not in _BUSY_STATUS or last:
                raise error
            time.sleep(pause)
            pause *= 2

    def _send(self, request: Request) -> Answer:
        connection = _Connection(request, time.monotonic() + self._time_left())
        try:
            connection.send(request)
            return Answer(connection, *connection.head())
        except BaseException:
            connection.close()
            raise

    def _time_left(self) -> float:
        if self._deadline is None:
            return _MAX_WAIT_SECONDS
        left = self._deadline - time.time()
        if left <= 0:
            detail = (
                "the attempt's deadline has passed: give the job a longer `timeout`, or do less in one task"
            )
            raise TraceError("sandbox", "deadline_passed", detail)
        return min(left, _MAX_WAIT_SECONDS)


class _Connection:
    """A socket with a buffer; every wait ends at ``until`` (monotonic seconds)."""

    def __init__(self, request: Request, until: float) -> None:
        import socket

        self._plane = request.plane
        self._what = f"{request.method} {request.base}{request.path.partition('?')[0]}"
        self._until = until
        self._buffer = b""
        host, port = self._address(request.base)
        try:
            self._socket: socket.socket = socket.create_connection((host, port), self._timeout())
        except OSError as error:
            raise self.error(str(error)) from error

    def error(self, detail: str) -> TraceError:
        return TraceError(self._plane, "unreachable", f"{self._what}: {detail}")

    def close(self) -> None:
        self._socket.close()

    def send(self, request: Request) -> None:
        lines = [f"{request.method} {request.path} HTTP/1.1"]
        headers = {"host": request.base[len("http://") :], "connection": "close", **request.headers}
        if request.body or request.method in ("POST", "PUT"):
            headers["content-length"] = str(len(request.body))
        for name, value in headers.items():
            if "\r" in value or "\n" in value:
                raise self.error(f"the header {name} has a line break")
            lines.append(f"{name}: {value}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        try:
            self._socket.settimeout(self._timeout())
            self._socket.sendall(head.encode("latin-1") + request.body)
        except OSError as error:
            raise self.error(str(error)) from error

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers, names in lower case; answers before the last one (1xx) are skipped."""
        while True:
            while b"\r\n\r\n" not in self._buffer:
                if len(self._buffer) > _MAX_HEAD_BYTES:
                    raise self.error("the answer's head is too long")
                self._fill()
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            parts = first.split(" ", 2)
            if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
                raise self.error("the answer is not HTTP/1.1")
            headers = {}
            for line in lines:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            if int(parts[1]) >= 200:
                return int(parts[1]), headers

    def body(self, status: int, headers: dict[str, str]) -> Iterator[bytes]:
        if status in (204, 304):
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunked()
        elif "content-length" in headers:
            yield from self._exactly(self._length(headers["content-length"], 10))
        else:
            yield from self._rest()

    def _chunked(self) -> Iterator[bytes]:
        while True:
            size = self._length(self._line().partition(b";")[0].decode("latin-1"), 16)
            if size == 0:
                # Trailers, if there are any, end with an empty line.
                while self._line():
                    pass
                return
            yield from self._exactly(size)
            if self._line():
                raise self.error("the answer's chunks do not add up")

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._buffer:
                self._fill()
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            yield piece

    def _rest(self) -> Iterator[bytes]:
        while True:
            if self._buffer:
                yield self._buffer
            self._buffer = self._receive()
            if not self._buffer:
                return

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise self.error("the answer's chunks do not add up")
            self._fill()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _fill(self) -> None:
        piece = self._receive()
        if not piece:
            raise self.error("the connection ended in the middle of the answer")
        self._buffer += piece

    def _receive(self) -> bytes:
        try:
            self._socket.settimeout(self._timeout())
            return self._socket.recv(_CHUNK_BYTES)
        except OSError as error:
            raise self.error(str(error) or "timed out") from error

    def _timeout(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.error("timed out")
        return left

    def _length(self, text: str, base: int) -> int:
        try:
            size = int(text.strip(), base)
        except ValueError:
            size = -1
        if size < 0:
            raise self.error("the answer's length is not a number")
        return size

    def _address(self, base: str) -> tuple[str, int]:
        host, _, port = base[len("http://") :].rpartition(":")
        if not base.startswith("http://") or not host or not port.isdigit():
            raise self.error("the service's address is not http://HOST:PORT")
        return host.strip("[]"), int(port)
