"""The planes as a task reaches them, byte for byte: the dispatcher, the query service, the object store."""

import hashlib
import hmac
import http.client
import json
import os
import re
import time
from urllib.parse import unquote_to_bytes

from attempts import Denied

TASKS, QUERIES, OBJECTS = "TRACE_DISPATCHER_URL", "TRACE_QUERY_URL", "AWS_ENDPOINT_URL_S3"
UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
BUCKET = "trace"


def host(plane):
    return os.environ[plane].removeprefix("http://").rstrip("/")


def ask(plane, method, path, headers=(), body=b""):
    """One request, nothing added but what HTTP needs. Answers (status, body)."""
    connection = http.client.HTTPConnection(host(plane), timeout=100)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs.append(("host", host(plane)))
    if body or method in ("PUT", "POST"):
        pairs.append(("content-length", str(len(body))))
    for name, value in pairs:
        connection.putheader(name, value)
    connection.endheaders(body or None)
    answer = connection.getresponse()
    content = answer.read(64 << 20)
    connection.close()
    return answer.status, content


def answered(status, body):
    """The body of an answer, unless it is a refusal: problem details, with their code."""
    if status < 400:
        return body
    try:
        problem = json.loads(body)
        raise Denied(f"http {status} {problem['code']}", problem["detail"])
    except (ValueError, KeyError, TypeError):
        raise Denied(f"http {status}", body[:200]) from None


def capability():
    return os.environ["TRACE_TASK_CAPABILITY_TOKEN"]


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def post(plane, path, token, value):
    headers = {**bearer(token), "content-type": "application/json"}
    return answered(*ask(plane, "POST", path, headers, json.dumps(value).encode()))


def context(token=None):
    return json.loads(answered(*ask(TASKS, "GET", "/v1/task/context", bearer(token or capability()))))


def query_token():
    return json.loads(post(TASKS, "/v1/task/token", capability(), {"audience": "trace:query"}))["token"]


def sql(text, form="json", token=None):
    """The rows of a statement; with another form, the bytes of the result."""
    body = post(QUERIES, "/v1/task/query", token or query_token(), {"sql": text, "format": form})
    return json.loads(body)["rows"] if form == "json" else body


def sessions():
    return json.loads(answered(*ask(TASKS, "POST", "/v1/task/credentials", bearer(capability()))))["sessions"]


def encoded(text, keep=""):
    kept = UNRESERVED.union(keep.encode())
    return "".join(chr(octet) if octet in kept else f"%{octet:02X}" for octet in text.encode())


class Signer:
    """SigV4 with whatever a caller wants to be different."""

    def __init__(self, session=None, region="us-east-1", service="s3", at=None):
        session = session or sessions()[0]
        self.id, self.secret = session["access_key_id"], session["secret_access_key"]
        self.token = session["session_token"]
        self.region, self.service, self.at = region, service, at

    def stamp(self):
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.at))

    def scope(self, stamp):
        return f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"

    def key(self, scope):
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key

    def signature(self, method, path, query, headers, digest, stamp):
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        # Whatever the encoding is in which the path is sent, there is one in which it is signed.
        signed = "".join(chr(o) if o in UNRESERVED or o == 47 else f"%{o:02X}" for o in unquote_to_bytes(path))
        canonical = "\n".join([method, signed, query, lines, names, digest])
        scope = self.scope(stamp)
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashed])
        return hmac.digest(self.key(scope), to_sign.encode(), "sha256").hex()

    def headers(self, method, path, query="", body=b"", more=None, digest=None):
        stamp = self.stamp()
        digest = digest or hashlib.sha256(body).hexdigest()
        headers = {"host": host(OBJECTS), "x-amz-content-sha256": digest, "x-amz-date": stamp, **(more or {})}
        if self.token:
            headers["x-amz-security-token"] = self.token
        signature = self.signature(method, path, query, headers, digest, stamp)
        names = ";".join(sorted(headers))
        credential = f"{self.id}/{self.scope(stamp)}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def presigned(self, method, path, seconds=60, more=None):
        stamp = self.stamp()
        parameters = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.id}/{self.scope(stamp)}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
            **(more or {}),
        }
        if self.token:
            parameters["X-Amz-Security-Token"] = self.token
        query = parameters_of(parameters)
        headers = {"host": host(OBJECTS)}
        signature = self.signature(method, path, query, headers, "UNSIGNED-PAYLOAD", stamp)
        return f"{path}?{query}&X-Amz-Signature={signature}"


def parameters_of(parameters):
    return "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(parameters.items()))


def stored(status, body):
    """The body of an answer of the object store, unless it is a refusal with a code in XML."""
    text = body[:2000].decode(errors="replace")
    code = re.search("<Code>(.*?)</Code>", text)
    # S3 may say in the body of a success that it failed.
    if status < 400 and not code:
        return body
    message = re.search("<Message>(.*?)</Message>", text, re.DOTALL)
    raise Denied(f"s3 {status} {code[1]}" if code else f"s3 {status}", message[1] if message else text)


def path_of(key, bucket=BUCKET):
    return f"/{bucket}/{encoded(key, '/')}"


def s3(method, path, query=None, body=b"", more=None, signer=None, digest=None):
    """One signed request. `path` is as it is sent."""
    query = parameters_of(query or {})
    headers = (signer or Signer()).headers(method, path, query, body, more, digest)
    return stored(*ask(OBJECTS, method, f"{path}?{query}" if query else path, headers, body))


def folder(which):
    """`output` or `scratch` of this attempt, as a key prefix."""
    return context()[which].removeprefix(f"s3://{BUCKET}/")


def keys(prefix, signer=None):
    listed = s3("GET", f"/{BUCKET}", {"list-type": "2", "prefix": prefix}, signer=signer).decode()
    return re.findall("<Key>(.*?)</Key>", listed)


def own(name="own"):
    """An object of this attempt that is there."""
    key = folder("scratch") + name
    s3("PUT", path_of(key), body=b"own")
    return key


def every(attacks):
    """Tries all of these. The first that succeeds is told, or else every way in which they were denied."""
    denials = {}
    for attack in attacks:
        try:
            return attack()
        except Denied as denied:
            denials.setdefault(denied.how, denied)
    details = "; ".join(str(denied.detail) for denied in denials.values())
    raise Denied(" and ".join(sorted(denials)), details)
