"""A task whose keys somebody gets hold of: it prints them, in a form that no mask of logs knows, and goes on."""

import json
import os
import signal
import sys

import planes
from attempts import THEN

PIECE = 200


def egress_token():
    """Where the task is granted a destination."""
    if "HTTP_PROXY" not in os.environ:
        return None
    own = planes.post(planes.TASKS, "/v1/task/token", planes.capability(), {"audience": "trace:egress"})
    return json.loads(own)["token"]


def hold(world, end):
    """`end`: `stay`, or how it ends at once: `succeed`, or `fail` the first time and stay the second."""
    address = planes.Signer().presigned("GET", planes.path_of(planes.own()), 3600)
    keys = {
        "dispatcher": planes.capability(),
        "query": planes.query_token(),
        "address": address,
        "host": planes.host(planes.OBJECTS),
        "egress": egress_token(),
        "failures": planes.context()["failures"],
    }
    text = json.dumps(keys).encode().hex()
    for at in range(0, len(text), PIECE):
        print("leaked " + text[at : at + PIECE], flush=True)
    print("leaked .", flush=True)
    if end == "fail" and keys["failures"] == 0:
        sys.exit(1)
    while end != "succeed":
        signal.pause()


THEN["hold"] = hold
