"""The HTTP client against answers of every form, and malformed ones."""

import time
import unittest

from trace_udf import TraceError
from trace_udf._http import Http, Request
from trace_udf._services import explain_problem

from .platform_thread import Case, problem, reply


class HttpTest(Case):
    def ask(self, answer, deadline=None, body=b""):
        self.asked_of = platform = self.platform(answer if callable(answer) else lambda asked: answer)
        request = Request("query", "POST" if body else "GET", platform.url, "/x?y=1", {"a": "b"}, body)
        return Http(deadline).ask(request, explain_problem)

    def refuses(self, answer, words):
        with self.assertRaises(TraceError) as caught:
            self.ask(answer).read(100)
        self.assertIn(words, str(caught.exception))

    def test_bodies_of_every_form(self):
        chunked = b"transfer-encoding: Chunked\r\n\r\n4;ext=1\r\nhell\r\n1\r\no\r\n0\r\ntrailer: x\r\n\r\n"
        for form in (
            reply(200, "hello"),
            b"HTTP/1.1 200 OK\r\n" + chunked,
            b"HTTP/1.0 200 OK\r\n\r\nhello",
            b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + reply(200, "hello"),
        ):
            self.assertEqual(self.ask(form).read(), b"hello")
        self.assertEqual(self.ask(b"HTTP/1.1 204 No Content\r\n\r\n").read(), b"")

    def test_a_request_is_whole(self):
        self.ask(reply(200, ""), body=b"0123456789" * 100_000).read()
        asked = self.asked_of.asked[0]
        self.assertEqual((asked.line, len(asked.body), asked.headers["a"]), ("POST /x?y=1", 1_000_000, "b"))
        self.assertEqual(asked.headers["host"], self.asked_of.url[len("http://") :])

    def test_what_is_cut_or_too_long_is_refused(self):
        self.refuses(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", "in the middle of the answer")
        self.refuses(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", "in the middle")
        self.refuses(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhello\r\n", "do not add up")
        self.refuses(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "not a number")
        self.refuses(reply(200, "x" * 101), "more than 100 bytes")
        self.refuses(b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP/1.1")
        self.refuses(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, "head is too long")
        self.refuses(b"", "in the middle")

    def test_a_busy_service_is_asked_again(self):
        answers = [problem(429, "too_many_requests"), problem(503, "unavailable"), reply(200, "in the end")]
        self.assertEqual(self.ask(lambda asked: answers.pop(0)).read(), b"in the end")
        self.assertEqual(len(self.asked_of.asked), 3)

    def test_a_deadline_ends_waiting(self):
        with self.assertRaises(TraceError) as caught:
            self.ask(problem(503, "unavailable"), deadline=time.time() + 0.1)
        self.assertEqual(caught.exception.code, "unavailable")
        with self.assertRaises(TraceError) as caught:
            self.ask(reply(200, ""), deadline=time.time() - 1)
        self.assertEqual(caught.exception.code, "deadline_passed")

    def test_a_silent_service_times_out(self):
        import socket

        with socket.create_server(("127.0.0.1", 0)) as silent:
            base = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with self.assertRaises(TraceError) as caught:
                Http(time.time() + 0.2).ask(Request("query", "GET", base, "/", {}), explain_problem)
        self.assertEqual(caught.exception.code, "unreachable")

    def test_addresses_and_headers_are_checked(self):
        for base in ("https://127.0.0.1:1", "http://127.0.0.1", "file:///etc"):
            with self.assertRaises(TraceError):
                Http(None).ask(Request("query", "GET", base, "/", {}), explain_problem)
        platform = self.platform(lambda asked: reply(200, ""))
        with self.assertRaises(TraceError):
            Http(None).ask(Request("query", "GET", platform.url, "/", {"a": "b\r\nc: d"}), explain_problem)


if __name__ == "__main__":
    unittest.main()
