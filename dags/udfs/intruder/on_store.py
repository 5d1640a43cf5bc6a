"""Attacks on the object store, with the attempt's own keys and without."""

import os

from trace_udf import TraceError
from trace_udf._sigv4 import encoded, query_string, signed_headers

from attempts import Blocked, attack, http

REFUSALS = (400, 401, 403, 405, 501)


def guarded(function, *arguments):
    """What the store says, when it refuses; that a key does not exist is an answer, and no refusal."""
    try:
        return function(*arguments)
    except TraceError as error:
        if error.status in REFUSALS:
            raise Blocked(str(error)) from None
        raise RuntimeError(f"no refusal: {error}") from None


@attack("object_store", "another org's object", "GetObject of the rival's data")
def rival_object(world):
    return f"read {len(guarded(world.ctx.objects.get, world.rival_object))} bytes"


@attack("object_store", "another org's keys", "ListBucket of the rival's data")
def rival_list(world):
    return f"listed {list(guarded(world.ctx.objects.list, world.rival_prefix))[:3]}"


@attack("object_store", "another org's blobs", "ListBucket of the rival's files")
def rival_blobs(world):
    return f"listed {list(guarded(world.ctx.objects.list, world.rival_blobs))[:3]}"


@attack("object_store", "every key", "ListBucket without a prefix")
def whole_bucket(world):
    return f"listed {list(guarded(world.ctx.objects.list, ''))[:3]}"


@attack("object_store", "the bucket's own folder", "ListBucket of data/")
def all_data(world):
    return f"listed {list(guarded(world.ctx.objects.list, 'data/'))[:3]}"


@attack("object_store", "write at the root", "PutObject intruder.txt")
def write_root(world):
    guarded(world.ctx.objects.put, "intruder.txt", b"was here")
    return "wrote"


@attack("object_store", "write into another org", "PutObject below the rival's data")
def write_rival(world):
    guarded(world.ctx.objects.put, world.rival_prefix + "intruder.txt", b"was here")
    return "wrote"


@attack("object_store", "write beside the own prefix", "PutObject to the attempt's number with a 0 more")
def write_sibling(world):
    attempt = world.output[: -len("out/")].rstrip("/")
    guarded(world.ctx.objects.put, f"{attempt}0/out/part-0.parquet", b"was here")
    return "wrote"


@attack("object_store", "write into an earlier attempt", "PutObject below attempt 1")
def write_earlier(world):
    task = world.output[: -len("out/")].rstrip("/").rpartition("/")[0]
    guarded(world.ctx.objects.put, f"{task}/a1/out/part-1.parquet", b"was here")
    return "wrote"


@attack("object_store", "write by a path that climbs", "PutObject out/../../intruder.txt")
def write_climbing(world):
    guarded(world.ctx.objects.put, world.output + "../../intruder.txt", b"was here")
    return "wrote"


@attack("object_store", "copy from another org", "CopyObject to the own scratch")
def copy_rival(world):
    bucket, key = located(world.ctx.objects.scratch + "stolen")
    source = f"/{bucket}/{encoded(world.rival_object, '/')}"
    return signed(world, "PUT", bucket, key, more={"x-amz-copy-source": source})


@attack("object_store", "delete", "DeleteObject below the rival's data")
def delete_rival(world):
    # A key that nobody has: a store that lets it pass says 204 and nothing is lost.
    bucket, _ = located(world.output)
    return signed(world, "DELETE", bucket, world.rival_prefix + "intruder-was-never-here")


@attack("object_store", "all buckets", "ListBuckets")
def buckets(world):
    return signed(world, "GET", "", "")


@attack("object_store", "keys without their session", "GetObject without the session token")
def without_session(world):
    bucket, key = located(world.ctx.objects.scratch + "note.txt")
    return signed(world, "GET", bucket, key, session="")


@attack("object_store", "no keys at all", "GetObject without a signature")
def anonymous(world):
    bucket, key = located(world.ctx.objects.scratch + "note.txt")
    url = f"{os.environ['AWS_ENDPOINT_URL_S3']}/{bucket}/{encoded(key, '/')}"
    return http("GET", url, refusals=REFUSALS)


def located(location):
    bucket, _, key = location[len("s3://") :].partition("/")
    return bucket, key


def signed(world, method, bucket, key, more=None, session=None):
    """A signed request that the SDK does not offer."""
    import json
    import urllib.request

    request = urllib.request.Request(
        f"{world.dispatcher}/v1/task/credentials",
        method="POST",
        headers={"authorization": f"Bearer {world.token}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=8) as answer:
        reply = json.load(answer)
    keys = reply["sessions"][0]
    endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
    path = f"/{bucket}/{encoded(key, '/')}" if bucket else "/"
    secrets = (
        keys["access_key_id"],
        keys["secret_access_key"],
        keys["session_token"] if session is None else session,
    )
    host = endpoint[len("http://") :]
    headers = signed_headers(method, host, path, query_string({}), b"", reply["region"], secrets, more)
    body = b"" if method == "PUT" else None
    return http(method, endpoint + path, body=body, headers=headers, refusals=REFUSALS)
