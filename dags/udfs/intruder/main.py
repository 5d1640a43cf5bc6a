"""A UDF that tries to get out, and reports what stopped it.

The first attempt saves its tokens and fails, so that the second one holds tokens of an attempt that
is over. The second tries every attack and writes a row for each, denied or not. It runs in Trace's
sandbox only, because anywhere else nothing would stop it.
"""

import os
import sys

from trace_udf import task

import on_dispatcher
import on_query
import on_sandbox
import on_store
from attempts import report
from world import World, query_token

PLANES = (on_sandbox, on_query, on_store, on_dispatcher)


@task
def run(ctx):
    if os.getcwd() != "/task/bundle" or not os.path.exists("/trace/bin/trace-udf-native"):
        sys.exit("this is no sandbox of Trace's: nothing was tried")
    old = ctx.checkpoint()
    if old is None:
        token = os.environ["TRACE_TASK_CAPABILITY_TOKEN"]
        ctx.save_checkpoint(
            {"dispatcher": token, "query": query_token(os.environ["TRACE_DISPATCHER_URL"], token)}
        )
        sys.exit("this attempt fails on purpose: the next one has its tokens")
    world = World(ctx, old)
    world.check_what_is_allowed()
    rows = list(report(world))
    for row in rows:
        ctx.log("denied" if row["denied"] else "NOT DENIED", plane=row["plane"], vector=repr(row["vector"]))
    ctx.log("done", attacks=len(rows), denied=sum(row["denied"] for row in rows))
    ctx.write(rows)
