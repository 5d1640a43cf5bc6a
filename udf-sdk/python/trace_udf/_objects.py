"""Objects of the store (S3), as far as the capability reaches."""

from __future__ import annotations

import time

from ._errors import TraceError, from_answer
from ._http import MAX_ANSWER_BYTES, Request
from ._services import parse_json, parse_utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ._http import Answer
    from ._services import Services

_MAX_LIST_BYTES = 16 * 1024 * 1024


class Objects:
    """Reads and writes objects with the attempt's own short-lived keys.

    A key is written ``s3://bucket/dir/name``, or ``dir/name`` in the platform's bucket. What the
    store refuses raises ``Denied`` with the plane ``object_store``.
    """

    def __init__(
        self,
        services: Services,
        endpoint: str,
        describe: Callable[[], dict[str, Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._services = services
        self._endpoint = endpoint.rstrip("/")
        self._describe = describe
        self._clock = clock
        self._region = ""
        self._sessions: list[dict[str, Any]] = []
        self._folders_by_address = 0
        self._renew_at = 0.0

    @property
    def output(self) -> str:
        """The prefix that becomes the task's output, ``s3://bucket/dir/``; unique to the attempt."""
        return str(self._describe()["output"])

    @property
    def scratch(self) -> str:
        """The prefix for what the attempt needs and nobody after it; unique to the attempt."""
        return str(self._describe()["scratch"])

    @property
    def readable(self) -> list[str]:
        """The prefixes that may be read with keys. A task with very many inputs reads more by address."""
        self._renew()
        return [prefix for session in self._sessions for prefix in session["read"]]

    def get(self, key: str, limit: int = MAX_ANSWER_BYTES) -> bytes:
        """The object's content; an error when it has more than ``limit`` bytes."""
        bucket, name = self._located(key)
        for address in self._addresses(f"s3://{bucket}/{name}", name, 1):
            if (address["bucket"], address["key"]) == (bucket, name):
                return self._fetch(address).read(limit)
        return self._ask("GET", key, "read").read(limit)

    def put(self, key: str, data: bytes) -> None:
        """Creates or replaces an object."""
        self._ask("PUT", key, "write", body=data).read()

    def list(self, prefix: str) -> dict[str, int]:
        """Keys that begin with ``prefix`` and their sizes, in order."""
        from xml.etree import ElementTree

        bucket, start = self._located(prefix)
        found: dict[str, int] = {}
        for address in self._addresses(f"s3://{bucket}/{start}", start, None):
            if not address["key"].startswith(start):
                break
            if address["bucket"] == bucket:
                found[address["key"]] = address["size"]
        if found:
            return found
        parameters = {"list-type": "2", "prefix": start}
        while True:
            answer = self._ask("GET", f"s3://{bucket}/", "read", parameters=parameters, prefix=start)
            root = ElementTree.fromstring(answer.read(_MAX_LIST_BYTES).decode())
            for node in root.iter():
                node.tag = node.tag.rpartition("}")[2]
            for item in root.iter("Contents"):
                found[item.findtext("Key", "")] = int(item.findtext("Size", "0"))
            token = root.findtext("NextContinuationToken", "")
            if root.findtext("IsTruncated") != "true" or not token:
                return found
            parameters["continuation-token"] = token

    def _ask(
        self,
        method: str,
        location: str,
        need: str,
        *,
        body: bytes = b"",
        parameters: dict[str, str] | None = None,
        prefix: str | None = None,
    ) -> Answer:
        from ._sigv4 import encoded, query_string, signed_headers

        self._renew()
        bucket, key = self._located(location)
        session = self._session(need, f"s3://{bucket}/{key if prefix is None else prefix}")
        path = f"/{encoded(bucket)}/{encoded(key, '/')}"
        query = query_string(parameters or {})
        keys = (session["access_key_id"], session["secret_access_key"], session["session_token"])
        host = self._endpoint[len("http://") :]
        headers = signed_headers(method, host, path, query, body, self._region, keys)
        target = f"{path}?{query}" if query else path
        request = Request("object_store", method, self._endpoint, target, headers, body)
        return self._services.http.ask(request, _explain)

    def _addresses(self, location: str, start: str, limit: int | None) -> Iterator[dict[str, Any]]:
        """Presigned reads of objects that no keys reach, from the key ``start`` on; of at most ``limit``."""
        self._renew()
        if not self._folders_by_address or self._reaching("read", location):
            return
        import json

        wanted: dict[str, Any] = {"from": start}
        if limit is not None:
            wanted["limit"] = limit
        while True:
            body = json.dumps(wanted).encode()
            answer = self._services.dispatcher("POST", "objects", body, "application/json")
            page = parse_json("dispatcher", answer.read())
            yield from page["objects"]
            if limit is not None or not page.get("next"):
                return
            wanted["from"] = page["next"]

    def _fetch(self, address: dict[str, Any]) -> Answer:
        """Reads what was committed, or nothing: the address holds for one ETag only."""
        scheme, _, rest = address["url"].partition("://")
        host, slash, target = rest.partition("/")
        headers = {"if-match": f'"{address["etag"]}"'}
        request = Request("object_store", "GET", f"{scheme}://{host}", slash + target, headers, b"")
        return self._services.http.ask(request, _explain)

    def _renew(self) -> None:
        """Asks for keys when half of the time that they had is over."""
        now = self._clock()
        if now < self._renew_at:
            return
        reply = parse_json("dispatcher", self._services.dispatcher("POST", "credentials").read())
        if not self._endpoint:
            raise TraceError(
                "sandbox", "no_environment", "AWS_ENDPOINT_URL_S3 is not set: there is no object store"
            )
        if not reply["sessions"]:
            raise TraceError(
                "dispatcher", "no_credentials", "the task has no grant that objects could be read by"
            )
        self._region, self._sessions = reply["region"], reply["sessions"]
        self._folders_by_address = reply.get("folders_by_address", 0)
        until = min(parse_utc(session["expires_at"]) for session in self._sessions)
        self._renew_at = now + (until - now) / 2

    def _session(self, need: str, location: str) -> dict[str, Any]:
        """The keys that reach a place. Where none do, the first ones: refusing is the store's to do."""
        return self._reaching(need, location) or self._sessions[0]

    def _reaching(self, need: str, location: str) -> dict[str, Any] | None:
        for session in self._sessions:
            if any(location.startswith(prefix) for prefix in session[need]):
                return session
        return None

    def _located(self, location: str) -> tuple[str, str]:
        if not location.startswith("s3://"):
            return self.output[len("s3://") :].partition("/")[0], location
        bucket, _, key = location[len("s3://") :].partition("/")
        return bucket, key


def _explain(request: Request, status: int, body: bytes) -> TraceError:
    """The error that S3's XML stands for."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(body.decode())
        code, message = root.findtext("Code", ""), root.findtext("Message", "")
    except (ElementTree.ParseError, UnicodeDecodeError):
        code = message = ""
    where = request.path.partition("?")[0]
    return from_answer(
        request.plane, status, code or f"http_{status}", f"{request.method} {where}: {message}"
    )
