"""What a UDF sees of the platform."""

import json
import time
import unittest
from base64 import urlsafe_b64encode

from trace_udf import Denied, TraceError
from trace_udf._config import Config

from .platform_thread import Case, problem, reply, token

RESULT = '{"columns":[{"name":"n","type":"Int64"}],"rows":[[1],[2],[3]]}'


def context_reply(asked):
    body = {
        "params": {"year": 2013},
        "inputs": ["flights"],
        "output": "s3://trace/o/",
        "scratch": "s3://trace/s/",
    }
    return reply(200, json.dumps(body))


class ContextTest(Case):
    def test_a_query_shows_the_query_token_and_nothing_else(self):
        platform = self.platform(lambda asked: token("q") if "token" in asked.line else reply(200, RESULT))
        ctx = self.context(platform)
        self.assertEqual(ctx.sql("SELECT n FROM flights"), [{"n": 1}, {"n": 2}, {"n": 3}])
        self.assertEqual(len(ctx.table("flights")), 3)
        self.assertEqual([len(batch) for batch in ctx.batches("flights", size=2)], [2, 1])
        seen = [(asked.line, asked.token, json.loads(asked.body)) for asked in platform.asked]
        query = "POST /v1/task/query"
        everything = {"sql": "SELECT * FROM flights", "format": "json"}
        self.assertEqual(
            seen,
            [
                ("POST /v1/task/token", "first", {"audience": "trace:query"}),
                (query, "q", {"sql": "SELECT n FROM flights", "format": "json"}),
                (query, "q", everything),
                (query, "q", everything),
            ],
        )

    def test_tokens_near_their_end_are_renewed(self):
        soon = urlsafe_b64encode(json.dumps({"exp": int(time.time()) + 5}).encode()).rstrip(b"=").decode()

        def answer(asked):
            if "token" in asked.line:
                return token("renewed", "2013-01-01T00:00:00Z")
            return context_reply(asked) if "context" in asked.line else reply(200, RESULT)

        platform = self.platform(answer)
        env = self.env(platform)
        env["TRACE_TASK_CAPABILITY_TOKEN"] = f"e30.{soon}.sig"
        from trace_udf import Context

        ctx = Context(Config(env))
        ctx.sql("SELECT 1")
        ctx.sql("SELECT 1")
        self.assertEqual(sum("token" in asked.line for asked in platform.asked), 2)
        self.assertEqual(ctx.params, {"year": 2013})
        self.assertEqual([asked.token for asked in platform.asked][-1], "renewed")

    def test_refusals_tell_plane_and_code(self):
        def answer(asked):
            if "token" in asked.line:
                return token("q")
            if b"rival" in asked.body:
                return problem(403, "forbidden")
            return problem(422, "sql_failed") if "query" in asked.line else problem(401, "revoked")

        ctx = self.context(self.platform(answer))
        with self.assertRaises(Denied) as caught:
            ctx.table("rival_secrets")
        denied = caught.exception
        self.assertEqual((denied.plane, denied.code, denied.detail), ("query", "forbidden", "why"))
        with self.assertRaises(TraceError) as failed:
            ctx.sql("SELECT 1/0")
        self.assertNotIsInstance(failed.exception, Denied)
        with self.assertRaises(Denied) as revoked:
            self.assertIsNone(ctx.inputs)
        self.assertEqual(revoked.exception.plane, "dispatcher")
        with self.assertRaisesRegex(TraceError, "ctx.inputs"):
            ctx.table("flights; DROP")

    def test_checkpoints(self):
        kept = {}

        def answer(asked):
            if asked.line.startswith("PUT"):
                kept["it"] = asked.body
                return reply(200, "")
            return reply(200, kept["it"]) if kept else problem(404, "not_found")

        for ctx in (self.context(self.platform(answer)), self.context()):
            self.assertIsNone(ctx.checkpoint())
            ctx.save_checkpoint({"at": [1, 2]})
            self.assertEqual(ctx.checkpoint(), {"at": [1, 2]})
            with self.assertRaisesRegex(TraceError, "at most 65536"):
                ctx.save_checkpoint("x" * 70_000)

    def test_a_checkpoint_that_is_not_there_may_be_empty(self):
        self.assertIsNone(self.context(self.platform(lambda asked: b"HTTP/1.1 204 X\r\n\r\n")).checkpoint())

    def test_deliveries(self):
        platform = self.platform(lambda asked: reply(202, '{"delivery": "dl17"}'))
        ctx = self.context(platform)
        self.assertEqual(ctx.deliver("ops", {"late": "ä"}, key="late-2013"), "dl17")
        asked = platform.asked[-1]
        self.assertEqual(asked.line, "POST /v1/task/deliveries")
        self.assertEqual(json.loads(asked.body), {"to": "ops", "key": "late-2013", "body": {"late": "ä"}})
        with self.assertRaisesRegex(TraceError, "at most 65536"):
            ctx.deliver("ops", "x" * 70_000, key="k")
        refusing = self.context(self.platform(lambda asked: problem(403, "forbidden")))
        with self.assertRaises(Denied):
            refusing.deliver("ops", 1, key="k")
        self.assertEqual(self.context().deliver("ops", 1, key="k"), "dl1")

    def test_what_the_task_is(self):
        deadline = int((time.time() + 60) * 1000)
        ctx = self.context(
            TRACE_DEADLINE_MS=str(deadline),
            TRACE_FAILURES="2",
            TRACE_FILES_DIR=self.folder,
            TRACE_ATTEMPT="a40",
        )
        self.assertEqual((ctx.partition, ctx.failures, ctx.attempt_id), ("2013-01", 2, "a40"))
        self.assertEqual(ctx.deadline, deadline / 1000)
        self.assertTrue(50 < ctx.remaining() <= 60)
        self.assertEqual(ctx.files["writer.sh"], self.path("writer.sh"))
        self.assertIsNone(self.context().remaining())

    def test_a_local_test_has_no_tokens(self):
        platform = self.platform(lambda asked: reply(200, RESULT))
        with open(self.path("flights.parquet"), "wb"):
            pass
        ctx = self.context(TRACE_QUERY_URL=platform.url, TRACE_LOCAL_INPUTS=self.folder)
        self.assertEqual(len(ctx.sql("SELECT 1")), 3)
        self.assertNotIn("authorization", platform.asked[0].headers)
        self.assertEqual((ctx.inputs, ctx.params), (["flights"], {}))
        with self.assertRaisesRegex(TraceError, "local test"):
            ctx.objects.get("s3://trace/x")

    def test_an_environment_that_is_no_tasks_is_explained(self):
        for env, words in (
            ({}, "TRACE_OUTPUT_DIR is not set"),
            (
                {"TRACE_OUTPUT_DIR": "/out", "TRACE_DISPATCHER_URL": "http://x:1"},
                "TRACE_TASK_CAPABILITY_TOKEN",
            ),
            ({"TRACE_OUTPUT_DIR": "/out", "TRACE_DEADLINE_MS": "soon"}, "not a number"),
        ):
            with self.assertRaisesRegex(TraceError, words):
                Config(env)


if __name__ == "__main__":
    unittest.main()
