"""The dispatcher and the query service, each with the right token, renewed before it expires."""

from __future__ import annotations

import time

from ._errors import TraceError, from_answer
from ._http import Http, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._config import Config
    from ._http import Answer

_RENEW_BEFORE_SECONDS = 30.0


class Services:
    """Asks with the attempt's capability, which is all the authority that a task has."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.http = Http(config.deadline)
        self._capability = config.capability
        self._capability_until = _expiry(config.capability)
        self._query_token = ""
        self._query_until = 0.0

    @property
    def has_dispatcher(self) -> bool:
        """Whether this is a real attempt, and not a local test."""
        return bool(self._config.dispatcher_url)

    def query(self, sql: str) -> Answer:
        """Runs one SELECT; the answer's body is the JSON form of a result."""
        import json

        headers = {"content-type": "application/json"}
        if not self._config.query_url:
            raise TraceError(
                "sandbox", "no_environment", "TRACE_QUERY_URL is not set: there is nothing to query"
            )
        if self.has_dispatcher:
            headers["authorization"] = f"Bearer {self._token_for_queries()}"
        body = json.dumps({"sql": sql, "format": "json"}).encode()
        request = Request("query", "POST", self._config.query_url, "/v1/task/query", headers, body)
        return self.http.ask(request, explain_problem)

    def dispatcher(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Answer:
        """Asks the dispatcher's task API."""
        if not self.has_dispatcher:
            detail = f"{path} needs the platform's dispatcher, which a local test does not have"
            raise TraceError("sandbox", "no_dispatcher", detail)
        if (
            self._capability_until is not None
            and self._capability_until < time.time() + _RENEW_BEFORE_SECONDS
        ):
            self._capability, self._capability_until = self._exchange("trace:dispatcher")
        return self._ask_dispatcher(method, path, body, content_type)

    def _ask_dispatcher(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        headers = {"authorization": f"Bearer {self._capability}"}
        if content_type:
            headers["content-type"] = content_type
        base = self._config.dispatcher_url
        return self.http.ask(
            Request("dispatcher", method, base, f"/v1/task/{path}", headers, body), explain_problem
        )

    def _token_for_queries(self) -> str:
        if self._query_until < time.time() + _RENEW_BEFORE_SECONDS:
            self._query_token, self._query_until = self._exchange("trace:query")
        return self._query_token

    def _exchange(self, audience: str) -> tuple[str, float]:
        import json

        body = json.dumps({"audience": audience}).encode()
        answer = self._ask_dispatcher("POST", "token", body, "application/json")
        reply = parse_json("dispatcher", answer.read())
        return reply["token"], parse_utc(reply["expires_at"])


def parse_json(plane: str, body: bytes) -> Any:
    """Reads an answer's body."""
    import json

    try:
        return json.loads(body)
    except ValueError as error:
        raise TraceError(plane, "unreachable", f"the answer is not JSON: {error}") from error


def parse_utc(text: str) -> float:
    """A time such as ``2026-01-31T10:00:00.25Z`` as Unix seconds, to the second."""
    from datetime import datetime

    return datetime.fromisoformat(text[:19] + "+00:00").timestamp()


def explain_problem(request: Request, status: int, body: bytes) -> TraceError:
    """The error that problem details (RFC 9457) stand for."""
    import json

    try:
        problem = json.loads(body)
        return from_answer(request.plane, status, str(problem["code"]), str(problem["detail"]))
    except (ValueError, KeyError, TypeError):
        return from_answer(request.plane, status, f"http_{status}", "an answer without a reason")


def _expiry(unverified_token: str) -> float | None:
    """When a token expires by its own word, which is no proof of anything and needs none here."""
    import json
    from binascii import a2b_base64

    try:
        payload = unverified_token.split(".")[1]
        padded = payload.replace("-", "+").replace("_", "/") + "=" * (-len(payload) % 4)
        return float(json.loads(a2b_base64(padded))["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None
