"""What the intruder knows: its own tokens, those of its first attempt, and its guesses."""

import os

from trace_udf import TraceError

import attempts


class World:
    """Everything that attacks are made of."""

    def __init__(self, ctx, old):
        self.ctx = ctx
        self.dispatcher = os.environ["TRACE_DISPATCHER_URL"]
        self.query = os.environ["TRACE_QUERY_URL"]
        self.token = os.environ["TRACE_TASK_CAPABILITY_TOKEN"]
        self.query_token = query_token(self.dispatcher, self.token)
        self.old_token = old["dispatcher"]
        self.old_query_token = old["query"]
        self.rival_prefix = ctx.params["rival_prefix"]
        self.rival_blobs = ctx.params["rival_blobs"]
        self.rival_object = ctx.params["rival_object"]
        self.output = ctx.objects.output

    def check_what_is_allowed(self):
        """That everything works which should: a platform that is down denies nothing."""
        rows = self.ctx.sql("SELECT count(*) AS n FROM weather")
        key = self.ctx.objects.scratch + "note.txt"
        self.ctx.objects.put(key, b"mine")
        if rows[0]["n"] == 0 or self.ctx.objects.get(key) != b"mine":
            raise TraceError("sandbox", "nothing_works", "what the intruder may do does not work")
        attempts.http("GET", f"{self.dispatcher}/v1/task/context", self.token)


def query_token(dispatcher, token):
    """Exchanges a token as the SDK does."""
    import json
    import urllib.request

    request = urllib.request.Request(
        f"{dispatcher}/v1/task/token",
        data=b'{"audience":"trace:query"}',
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=attempts.SECONDS) as answer:
        return json.load(answer)["token"]
