"""The environment of a task, read once."""

from __future__ import annotations

import os

from ._errors import TraceError


class Config:
    """What the platform tells a task about itself.

    A local test (``trace udf test``) has no dispatcher: there are no tokens then, and the query
    service answers without one.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self.dispatcher_url = env.get("TRACE_DISPATCHER_URL", "")
        self.capability = env.get("TRACE_TASK_CAPABILITY_TOKEN", "")
        self.query_url = env.get("TRACE_QUERY_URL", "")
        self.s3_endpoint = env.get("AWS_ENDPOINT_URL_S3", "")
        self.output_dir = env.get("TRACE_OUTPUT_DIR") or _missing("TRACE_OUTPUT_DIR")
        self.files_dir = env.get("TRACE_FILES_DIR", "/task/files")
        self.local_inputs = env.get("TRACE_LOCAL_INPUTS", "")
        self.temp_dir = env.get("TMPDIR", "/tmp")
        self.writer = env.get("TRACE_NATIVE_WRITER", "/trace/bin/trace-udf-native")
        deadline_ms = _number(env, "TRACE_DEADLINE_MS")
        self.deadline = None if deadline_ms is None else deadline_ms / 1000
        self.org = env.get("TRACE_ORG", "")
        self.run = env.get("TRACE_RUN", "")
        self.task = env.get("TRACE_TASK", "")
        self.attempt = env.get("TRACE_ATTEMPT", "")
        self.dag = env.get("TRACE_DAG", "")
        self.job = env.get("TRACE_JOB", "")
        self.partition = env.get("TRACE_PARTITION", "all")
        self.failures = _number(env, "TRACE_FAILURES") or 0
        if self.dispatcher_url and not self.capability:
            _missing("TRACE_TASK_CAPABILITY_TOKEN")

    @classmethod
    def from_env(cls) -> Config:
        return cls(dict(os.environ))


def _missing(name: str) -> str:
    detail = f"{name} is not set: run this with `trace udf test`, or as a job of a DAG"
    raise TraceError("sandbox", "no_environment", detail)


def _number(env: dict[str, str], name: str) -> int | None:
    text = env.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise TraceError("sandbox", "no_environment", f"{name} is not a number")
    return int(text)
