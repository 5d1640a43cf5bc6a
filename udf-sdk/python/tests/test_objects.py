"""Objects and signatures."""

import json
import unittest
from datetime import datetime, timezone

from trace_udf import Denied, TraceError
from trace_udf._services import parse_utc
from trace_udf._sigv4 import encoded, query_string, signed_headers

from .platform_thread import Case, reply

LIST = """<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<IsTruncated>{more}</IsTruncated>{token}<Contents><Key>{key}</Key><Size>7</Size></Contents></ListBucketResult>"""


def session(name, read, write):
    return {
        "access_key_id": name,
        "secret_access_key": "secret",
        "session_token": f"{name}-session",
        "expires_at": "2999-01-01T00:00:00Z",
        "read": read,
        "write": write,
    }


class Store:
    """The dispatcher's credentials and a store that keeps objects in a dict."""

    def __init__(self):
        self.objects = {}
        self.expires_at = "2999-01-01T00:00:00Z"
        self.by_address = {}
        self.page = 2

    def addresses(self, asked):
        wanted = json.loads(asked.body)
        keys = [key for key in sorted(self.by_address) if key >= wanted.get("from", "")]
        count = min(wanted.get("limit", self.page), self.page)
        objects = [
            {
                "bucket": "trace",
                "key": key,
                "size": len(self.by_address[key]),
                "etag": "e1",
                "url": f"http://{asked.headers['host']}/trace/{key}?X-Amz-Signature=s",
            }
            for key in keys[:count]
        ]
        page = {"objects": objects, "expires_at": self.expires_at}
        return reply(200, json.dumps(page | ({"next": keys[count]} if keys[count:] else {})))

    def __call__(self, asked):
        method, _, path = asked.line.partition(" ")
        if path == "/v1/task/credentials":
            sessions = [
                session("w", ["s3://trace/scratch/"], ["s3://trace/out/"]),
                session("r", ["s3://trace/in/"], []),
            ]
            for keys in sessions:
                keys["expires_at"] = self.expires_at
            answer = {"region": "eu-west-1", "sessions": sessions, "folders_by_address": len(self.by_address)}
            return reply(200, json.dumps(answer))
        if path == "/v1/task/objects":
            return self.addresses(asked)
        if "X-Amz-Signature" in path:
            content = self.by_address[path[len("/trace/") :].partition("?")[0]]
            pinned = asked.headers.get("if-match") == '"e1"' and "authorization" not in asked.headers
            return reply(200 if pinned else 403, content)
        if path == "/v1/task/context":
            return reply(
                200, json.dumps({"params": {}, "inputs": [], "output": "s3://trace/out/", "scratch": ""})
            )
        if "continuation" in path:
            return reply(200, LIST.format(more="false", token="", key="in/b"))
        if "list-type" in path:
            token = "<NextContinuationToken>a b</NextContinuationToken>"
            return reply(200, LIST.format(more="true", token=token, key="in/a"))
        if "rival" in path:
            return reply(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        if method == "PUT":
            self.objects[path] = asked.body
            return reply(200, "")
        if path in self.objects:
            return reply(200, self.objects[path])
        return reply(404, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")


class ObjectsTest(Case):
    def setUp(self):
        super().setUp()
        self.store = self.platform(Store())
        self.objects = self.context(self.store).objects

    def test_put_and_get(self):
        self.objects.put("out/a file+é.bin", b"\0data")
        self.assertEqual(self.objects.get("s3://trace/out/a file+é.bin"), b"\0data")
        put = next(asked for asked in self.store.asked if asked.line.startswith("PUT"))
        self.assertEqual(put.line, "PUT /trace/out/a%20file%2B%C3%A9.bin")
        self.assertEqual(put.headers["x-amz-security-token"], "w-session")
        self.assertIn("/eu-west-1/s3/aws4_request", put.headers["authorization"])

    def test_lists_are_followed_to_their_end(self):
        self.assertEqual(self.objects.list("in/"), {"in/a": 7, "in/b": 7})
        listing = [asked for asked in self.store.asked if "list-type" in asked.line]
        self.assertEqual(listing[0].headers["x-amz-security-token"], "r-session")
        self.assertIn("continuation-token=a%20b", listing[1].line)

    def asked(self, path):
        return [asked for asked in self.store.asked if asked.line == f"POST /v1/task/{path}"]

    def test_keys_are_renewed_in_time_for_hours(self):
        store, now = Store(), [1_000_000_000.0]
        platform = self.platform(store)
        objects = self.context(platform).objects
        objects._clock = lambda: now[0]
        for second in range(0, 3 * 3600, 30):
            now[0] = 1_000_000_000.0 + second
            end = datetime.fromtimestamp(now[0] + 900, timezone.utc)
            store.expires_at = end.strftime("%Y-%m-%dT%H:%M:%SZ")
            objects._renew()
            left = min(parse_utc(session["expires_at"]) for session in objects._sessions) - now[0]
            self.assertGreaterEqual(left, 450, f"{left} left after {second} s")
        asked = [asked for asked in platform.asked if asked.line == "POST /v1/task/credentials"]
        self.assertEqual(len(asked), 3 * 3600 // 450)

    def test_what_no_keys_reach_is_read_by_address(self):
        store = Store()
        store.by_address = {"far/a": b"one", "far/b": b"two", "far/c": b"three", "farther": b"no"}
        self.store = self.platform(store)
        objects = self.context(self.store).objects
        self.assertEqual(objects.get("far/b"), b"two")
        self.assertEqual(objects.list("far/"), {"far/a": 3, "far/b": 3, "far/c": 5})
        self.assertEqual(len(self.asked("objects")), 3, "one for the object, two pages of the list")
        objects.put("out/x", b"data")
        self.assertEqual(objects.list("in/"), {"in/a": 7, "in/b": 7})
        self.assertEqual(len(self.asked("objects")), 3, "nor is what keys reach")
        with self.assertRaises(Denied):
            objects.get("s3://trace/rival/secret")

    def test_the_store_decides(self):
        with self.assertRaises(Denied) as denied:
            self.objects.get("s3://trace/rival/secret")
        self.assertEqual((denied.exception.plane, denied.exception.code), ("object_store", "AccessDenied"))
        with self.assertRaises(TraceError) as missing:
            self.objects.get("scratch/none")
        self.assertNotIsInstance(missing.exception, Denied)
        self.assertEqual(missing.exception.code, "NoSuchKey")


class SignatureTest(unittest.TestCase):
    def test_the_example_of_the_s3_manual(self):
        # https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "GET Object"
        headers = signed_headers(
            "GET",
            "examplebucket.s3.amazonaws.com",
            "/test.txt",
            "",
            b"",
            "us-east-1",
            ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""),
            {"range": "bytes=0-9"},
            now=1369353600,
        )
        signature = headers["authorization"].rpartition("=")[2]
        self.assertEqual(signature, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")

    def test_encoding(self):
        self.assertEqual(encoded("a/b c~é*", "/"), "a/b%20c~%C3%A9%2A")
        self.assertEqual(query_string({"prefix": "a/", "list-type": "2"}), "list-type=2&prefix=a%2F")


if __name__ == "__main__":
    unittest.main()
