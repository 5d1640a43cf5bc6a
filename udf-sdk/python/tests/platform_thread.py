"""A platform in a thread: it answers what it is told to and remembers what it was asked."""

from __future__ import annotations

import os
import socketserver
import tempfile
import threading
import unittest

from trace_udf._config import Config
from trace_udf._context import Context


class Asked:
    """One request as it came."""

    def __init__(self, line, headers, body):
        self.line = line
        self.headers = headers
        self.body = body
        self.token = headers.get("authorization", "").removeprefix("Bearer ")


class Platform:
    """Answers with the bytes that ``answer`` returns for each request."""

    def __init__(self, answer):
        self.asked = []
        platform = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                line = self.rfile.readline().decode().rpartition(" ")[0]
                if not line:
                    return
                headers = {}
                while True:
                    header = self.rfile.readline().decode().strip()
                    if not header:
                        break
                    name, _, value = header.partition(": ")
                    headers[name.lower()] = value
                body = self.rfile.read(int(headers.get("content-length", 0)))
                asked = Asked(line, headers, body)
                platform.asked.append(asked)
                self.wfile.write(answer(asked))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def reply(status, body, headers=""):
    """An answer with a length."""
    data = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\n{headers}\r\n".encode() + data


def problem(status, code):
    return reply(status, f'{{"code":"{code}","status":{status},"title":"","detail":"why"}}')


def token(text, expires_at="2999-01-01T00:00:00.123456Z"):
    return reply(200, f'{{"token":"{text}","expires_at":"{expires_at}"}}')


class Case(unittest.TestCase):
    """A test with a folder of its own, a platform if it wants one, and contexts."""

    KEEP = 'cat > "$1"'

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = holder.name

    def platform(self, answer):
        platform = Platform(answer)
        self.addCleanup(platform.close)
        return platform

    def path(self, name):
        return os.path.join(self.folder, name)

    def env(self, platform=None, writer=KEEP, **more):
        program = self.path("writer.sh")
        with open(program, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{writer}\n")
        os.chmod(program, 0o755)
        env = {
            "TRACE_OUTPUT_DIR": self.folder,
            "TMPDIR": self.folder,
            "TRACE_NATIVE_WRITER": program,
            "TRACE_PARTITION": "2013-01",
            **more,
        }
        if platform:
            env["TRACE_DISPATCHER_URL"] = env["TRACE_QUERY_URL"] = env["AWS_ENDPOINT_URL_S3"] = platform.url
            env["TRACE_TASK_CAPABILITY_TOKEN"] = "first"
        return env

    def context(self, platform=None, **env):
        return Context(Config(self.env(platform, **env)))
