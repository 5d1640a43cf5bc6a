"""Attacks on the object store, with the keys that the task may have."""

import base64
import hashlib
import hmac
import http.client
import json
import re
import time

import parquet
import planes
from attempts import Denied, vector
from planes import BUCKET, Signer, every, folder, keys, own, path_of, s3


def beside(change):
    """A key that is not the attempt's, made of the one that is."""
    return change(folder("output")) + "x"


def put(key):
    s3("PUT", path_of(key), body=b"hostile")
    return f"wrote {key}"


@vector("write-sibling-attempt")
def write_sibling_attempt(world):
    # `a4/` and `a40/`.
    return put(beside(lambda prefix: prefix.replace("/out/", "0/out/")))


@vector("write-sibling-folder")
def write_sibling_folder(world):
    return put(beside(lambda prefix: prefix.removesuffix("/") + "side/"))


@vector("write-other-case")
def write_other_case(world):
    return put(beside(str.upper))


@vector("write-other-org")
def write_other_org(world):
    return put(beside(lambda prefix: re.sub("^data/o[0-9]+/", "data/o999/", prefix)))


@vector("write-root")
def write_root(world):
    return every([lambda key=key: put(key) for key in ("x", "data/x", "bundles/x", "blobs/x")])


@vector("write-pattern")
def write_pattern(world):
    # What IAM reads as a pattern, as a key.
    prefix = folder("output")
    above = "/".join(prefix.split("/")[:4])
    return every([lambda key=key: put(key) for key in ("data/*/x", f"{above}/*/out/x", f"{prefix[:-2]}?/x", "$data/x")])


@vector("write-policy-variable")
def write_policy_variable(world):
    prefix = folder("output")
    name = "x" if world.planted else "${aws:username}"
    return put(f"{prefix}{name}")


@vector("climb")
def climb(world):
    # As it is sent; nothing between here and the store makes it plain.
    base = path_of(folder("scratch"))
    ends = ["../x", "a/../../x", "./x", "/x", "a//x"]
    return every([lambda end=end: s3("PUT", base + end, body=b"x") for end in (["x"] if world.planted else ends)])


@vector("climb-encoded")
def climb_encoded(world):
    base = path_of(folder("scratch"))
    ends = ["%2e%2e/x", "%2E%2E%2Fx", "a%2f..%2f..%2fx", "%252e%252e/x", "..%5Cx", "x%0d%0a", "x%7F", "x%23y"]
    return every([lambda end=end: s3("PUT", base + end, body=b"x") for end in (["x"] if world.planted else ends)])


@vector("climb-broken-text")
def climb_broken_text(world):
    # What is no UTF-8: an overlong dot, a lone byte, a NUL.
    base = path_of(folder("scratch"))
    ends = ["%c0%ae%c0%ae/x", "%ff", "%ed%a0%80"]
    return every([lambda end=end: s3("PUT", base + end, body=b"x") for end in (["x"] if world.planted else ends)])


def find(name):
    """The key of an object that this task may not know of; a likely one where it can't be found out."""
    try:
        listed = s3("GET", f"/{BUCKET}", {"list-type": "2", "prefix": "data/"}).decode()
        found = [key for key in re.findall("<Key>(.*?)</Key>", listed) if key.endswith(name)]
        if found:
            return found[-1]
    except Denied:
        pass
    return re.sub("/a[0-9]+/", "/a1/", folder("output")) + name


@vector("read-ungranted")
def read_ungranted(world):
    return f"read {len(s3('GET', path_of(find('secret.parquet'))))} bytes"


@vector("read-beside-many-inputs")
def read_beside_many_inputs(world):
    sessions = planes.sessions()
    if len(sessions) < 2:
        raise RuntimeError("all of its inputs are in one session")
    # The folder of the run: what is nearest above all of the inputs.
    above = "/".join(folder("output").split("/")[:3]) + "/"

    def read(session):
        signer = Signer(session)
        found = [key for key in keys(above, signer) if key.endswith("secret.parquet")]
        return f"read {len(s3('GET', path_of(found[-1]), signer=signer))} bytes of {found[-1]}"

    def read_unlisted(session):
        guess = re.sub("/t[0-9.]+/a[0-9]+/", "/t1/a1/", folder("output")) + "secret.parquet"
        return f"read {len(s3('GET', path_of(guess), signer=Signer(session)))} bytes"

    return every([lambda one=one, way=way: way(one) for one in sessions for way in (read, read_unlisted)])


@vector("head-ungranted")
def head_ungranted(world):
    s3("HEAD", path_of(find("secret.parquet")))
    return "it is there"


@vector("read-own-output")
def read_own_output(world):
    key = folder("output") + "seen"
    s3("PUT", path_of(key), body=b"x")
    return f"read {s3('GET', path_of(key))}"


@vector("read-filtered-input")
def read_filtered_input(world):
    for session in planes.sessions():
        for prefix in session["read"]:
            prefix = prefix.removeprefix(f"s3://{BUCKET}/")
            for key in keys(prefix, Signer(session)):
                if key.endswith("people.parquet"):
                    return f"read {len(s3('GET', path_of(key), signer=Signer(session)))} bytes of hidden rows"
    raise Denied("absent", "no session reaches the input with hidden rows")


@vector("read-filtered-object")
def read_filtered_object(world):
    return f"read {len(s3('GET', path_of(find('people.parquet'))))} bytes of hidden rows"


def listed(query, bucket=BUCKET):
    return f"listed {len(s3('GET', f'/{bucket}', query))} bytes"


@vector("list-everything")
def list_everything(world):
    return every(
        [
            lambda: listed({"list-type": "2"}),
            lambda: listed({}),
            lambda: listed({"list-type": "2", "prefix": ""}),
            lambda: listed({"prefix": "", "max-keys": "1"}),
            lambda: listed({"list-type": "2", "delimiter": "/"}),
            lambda: listed({"delimiter": "/"}),
        ]
    )


@vector("list-above")
def list_above(world):
    prefix = folder("output")
    above = ["data/", "/".join(prefix.split("/")[:2]) + "/", prefix.removesuffix("/"), prefix[:-2], prefix.split("/out/")[0]]
    return every([lambda one=one: listed({"list-type": "2", "prefix": one}) for one in above])


@vector("list-sibling")
def list_sibling(world):
    prefix = folder("output")
    return listed({"list-type": "2", "prefix": prefix.replace("/out/", "0/out/")})


@vector("list-from-elsewhere")
def list_from_elsewhere(world):
    # The prefix is its own; the page would begin somewhere else.
    token = base64.urlsafe_b64encode(b"data/o1/").decode().rstrip("=")
    text = s3("GET", f"/{BUCKET}", {"list-type": "2", "prefix": folder("scratch"), "continuation-token": token})
    foreign = [key for key in re.findall("<Key>(.*?)</Key>", text.decode()) if not key.startswith(folder("scratch"))]
    if foreign:
        return f"listed {foreign}"
    raise Denied("absent", "only its own")


@vector("list-buckets")
def list_buckets(world):
    return s3("GET", "/")[:60]


@vector("list-uploads")
def list_uploads(world):
    return s3("GET", f"/{BUCKET}", {"uploads": ""})[:60]


@vector("head-bucket")
def head_bucket(world):
    s3("HEAD", f"/{BUCKET}")
    return "it is there"


@vector("bucket-location")
def bucket_location(world):
    return s3("GET", f"/{BUCKET}", {"location": ""})[:60]


@vector("other-bucket")
def other_bucket(world):
    bucket = BUCKET if world.planted else "other"
    return s3("PUT", path_of(folder("scratch") + "x", bucket), body=b"x")


def upload(key):
    """Starts an upload in parts, and answers its id."""
    return re.search("<UploadId>(.*?)</UploadId>", s3("POST", path_of(key), {"uploads": ""}).decode())[1]


def elsewhere():
    return beside(lambda prefix: prefix.replace("/out/", "0/out/"))


@vector("upload-elsewhere")
def upload_elsewhere(world):
    return f"started {upload(elsewhere())}"


@vector("upload-part-elsewhere")
def upload_part_elsewhere(world):
    # The upload is its own, the key is not.
    started = upload(folder("output") + "big")
    if world.planted:
        return s3("PUT", path_of(folder("output") + "big"), {"partNumber": "1", "uploadId": started}, b"x") or "taken"
    return every(
        [
            lambda: s3("PUT", path_of(elsewhere()), {"partNumber": "1", "uploadId": started}, b"x"),
            lambda: s3("POST", path_of(elsewhere()), {"uploadId": started}, complete("0" * 32)),
            lambda: s3("GET", path_of(elsewhere()), {"uploadId": started}),
            lambda: s3("DELETE", path_of(elsewhere()), {"uploadId": started}),
        ]
    )


def complete(etag):
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    return f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()


@vector("upload-under-other-key")
def upload_under_other_key(world):
    # Both keys are its own: an upload goes where it was started.
    prefix = folder("output")
    started = upload(prefix + "one")
    key = prefix + ("one" if world.planted else "two")
    return s3("PUT", path_of(key), {"partNumber": "1", "uploadId": started}, b"x")


@vector("upload-of-nobody")
def upload_of_nobody(world):
    key = folder("output") + "big"
    ids = [upload(key)] if world.planted else ["1", "../../x", "x" * 500, "%2e%2e%2f"]
    return every([lambda one=one: s3("PUT", path_of(key), {"partNumber": "1", "uploadId": one}, b"x") for one in ids])


@vector("list-foreign-parts")
def list_foreign_parts(world):
    if world.planted:
        key = folder("output") + "big"
        return s3("GET", path_of(key), {"uploadId": upload(key)})[:60]
    return s3("GET", path_of(elsewhere()), {"uploadId": "1"})


def copied(source, more=None):
    target = folder("scratch") + "copy"
    return s3("PUT", path_of(target), more={"x-amz-copy-source": source, **(more or {})})[:60]


@vector("copy-foreign")
def copy_foreign(world):
    return copied(f"/{BUCKET}/{find('secret.parquet')}")


@vector("copy-foreign-part")
def copy_foreign_part(world):
    target = folder("scratch") + "copy"
    query = {"partNumber": "1", "uploadId": upload(target)}
    source = f"/{BUCKET}/{find('secret.parquet')}"
    return s3("PUT", path_of(target), query, more={"x-amz-copy-source": source})[:60]


@vector("copy-foreign-encoded")
def copy_foreign_encoded(world):
    key = find("secret.parquet")
    return every(
        [
            lambda: copied(f"{BUCKET}/{planes.encoded(key)}"),
            lambda: copied(f"{BUCKET}%2F{planes.encoded(key)}"),
            lambda: copied(f"/{BUCKET}/{key.replace('data', '%64ata')}"),
        ]
    )


@vector("copy-climbing")
def copy_climbing(world):
    scratch = folder("scratch")
    key = own()
    sources = [f"/{BUCKET}/{scratch}../x", f"/{BUCKET}/{scratch}%2e%2e/x"]
    return every([lambda one=one: copied(one) for one in ([f"/{BUCKET}/{key}"] if world.planted else sources)])


@vector("copy-version")
def copy_version(world):
    key = own()
    return copied(f"/{BUCKET}/{key}" + ("" if world.planted else "?versionId=1"))


def input_key(name):
    """The key of an object of an input that this task may read."""
    for session in planes.sessions():
        for prefix in session["read"]:
            for key in keys(prefix.removeprefix(f"s3://{BUCKET}/"), Signer(session)):
                if key.endswith(name):
                    return key
    raise RuntimeError(f"no session reaches {name}")


@vector("overwrite-input")
def overwrite_input(world):
    s3("PUT", path_of(input_key("plain.parquet")), body=parquet.numbers_of_plain())
    return "wrote over an input"


@vector("add-to-input")
def add_to_input(world):
    key = input_key("plain.parquet").replace("plain.parquet", "more.parquet")
    return put(key)


@vector("change-after-commit")
def change_after_commit(world):
    # Of the same size, so that nothing but its ETag tells.
    s3("PUT", path_of(input_key("pinned.parquet")), body=parquet.file([parquet.column("v", parquet.INT64, [5, 6, 7, 8])]))
    rows = planes.sql("SELECT sum(v) FROM pinned")
    if rows == [[26]]:
        return f"a reader sees what was not committed: {rows}"
    raise RuntimeError(f"a reader sees {rows}")


@vector("delete")
def delete(world):
    key = own()
    body = f"<Delete><Object><Key>{key}</Key></Object></Delete>".encode()
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    return every(
        [
            lambda: s3("DELETE", path_of(key)),
            lambda: s3("DELETE", path_of(input_key("plain.parquet"))),
            lambda: s3("POST", f"/{BUCKET}", {"delete": ""}, body, {"content-md5": digest}),
        ]
    )


def fetch(method, address, headers=(), body=b""):
    return planes.stored(*planes.ask(planes.OBJECTS, method, address, headers, body))


@vector("presigned-altered")
def presigned_altered(world):
    key = own()
    address = Signer().presigned("GET", path_of(key))
    if world.planted:
        return fetch("GET", address)
    return every(
        [
            lambda: fetch("GET", address.replace(path_of(key), path_of(key) + "2")),
            lambda: fetch("PUT", address, body=b"x"),
            lambda: fetch("DELETE", address),
            lambda: fetch("GET", address.replace("X-Amz-Expires=60", "X-Amz-Expires=600")),
            lambda: fetch("GET", address, {"host": "127.0.0.1:1"}),
            lambda: fetch("GET", address + "&versionId=null"),
            lambda: fetch("GET", re.sub("X-Amz-Signature=..", "X-Amz-Signature=00", address)),
        ]
    )


@vector("presigned-expired")
def presigned_expired(world):
    past = None if world.planted else time.time() - 100
    return fetch("GET", Signer(at=past).presigned("GET", path_of(own()), seconds=60))


@vector("presigned-for-long")
def presigned_for_long(world):
    key = own()
    seconds = [60] if world.planted else [604_801, 10**12, 0, -1]
    return every([lambda one=one: fetch("GET", Signer().presigned("GET", path_of(key), one)) for one in seconds])


@vector("presigned-becomes-copy")
def presigned_becomes_copy(world):
    # Whoever gets the address of a PUT adds a header that nobody signed.
    target = path_of(folder("scratch") + "target")
    source = f"/{BUCKET}/{own()}"
    return fetch("PUT", Signer().presigned("PUT", target), {"x-amz-copy-source": source})[:60]


@vector("unsigned-header")
def unsigned_header(world):
    headers = Signer().headers("PUT", path_of(folder("scratch") + "x"), body=b"x")
    headers["x-amz-meta-owner"] = "somebody"
    return fetch("PUT", path_of(folder("scratch") + "x"), headers, b"x") or "taken"


@vector("no-session-token")
def no_session_token(world):
    signer, key = Signer(), own()
    signer.token = ""
    return s3("GET", path_of(key), signer=signer)


def altered(text):
    """The same with another last sign."""
    return text[:-1] + ("A" if text[-1] != "A" else "B")


@vector("altered-session-token")
def altered_session_token(world):
    signer, key = Signer(), own()
    signer.token = altered(signer.token)
    return s3("GET", path_of(key), signer=signer)


@vector("altered-secret")
def altered_secret(world):
    signer, key = Signer(), own()
    if not world.planted:
        signer.secret = altered(signer.secret)
    return s3("GET", path_of(key), signer=signer)


@vector("keys-of-nobody")
def keys_of_nobody(world):
    signer, key = Signer(), own()
    names = [signer.id] if world.planted else ["ASIAAAAAAAAAAAAAAAAA", "AKIAAAAAAAAAAAAAAAAA", "admin", "x' OR '1'='1"]

    def with_id(name):
        signer.id = name
        return s3("GET", path_of(key), signer=signer)

    return every([lambda name=name: with_id(name) for name in names])


@vector("other-scope")
def other_scope(world):
    key = own()
    signers = [Signer()] if world.planted else [Signer(region="eu-west-1"), Signer(service="sts"), Signer(region="")]
    return every([lambda one=one: s3("GET", path_of(key), signer=one) for one in signers])


@vector("old-signature")
def old_signature(world):
    return s3("GET", path_of(own()), signer=Signer(at=None if world.planted else time.time() - 3600))


@vector("unsigned-request")
def unsigned_request(world):
    return fetch("GET", path_of(own()), {} if not world.planted else Signer().headers("GET", path_of(own())))


def version_2(signer, text):
    return base64.b64encode(hmac.digest(signer.secret.encode(), text.encode(), "sha1")).decode()


@vector("signature-version-2")
def signature_version_2(world):
    signer, path = Signer(), path_of(own())
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    text = f"GET\n\n\n{date}\nx-amz-security-token:{signer.token}\n{path}"
    headers = {"date": date, "x-amz-security-token": signer.token}
    return fetch("GET", path, {**headers, "authorization": f"AWS {signer.id}:{version_2(signer, text)}"})


@vector("presigned-version-2")
def presigned_version_2(world):
    signer, path = Signer(), path_of(own())
    until = int(time.time()) + 60
    signature = version_2(signer, f"GET\n\n\n{until}\nx-amz-security-token:{signer.token}\n{path}")
    query = {"AWSAccessKeyId": signer.id, "Expires": str(until), "Signature": signature}
    return fetch("GET", f"{path}?{planes.parameters_of(query)}", {"x-amz-security-token": signer.token})


@vector("form-upload")
def form_upload(world):
    signer, key = Signer(), folder("scratch") + "form"
    stamp = signer.stamp()
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    fields = {
        "key": key,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{signer.id}/{signer.scope(stamp)}",
        "x-amz-date": stamp,
        "x-amz-security-token": signer.token,
    }
    conditions = [{"bucket": BUCKET}, *({name: one} for name, one in fields.items())]
    policy = base64.b64encode(json.dumps({"expiration": until, "conditions": conditions}).encode()).decode()
    fields |= {
        "policy": policy,
        "x-amz-signature": hmac.digest(signer.key(signer.scope(stamp)), policy.encode(), "sha256").hex(),
    }
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{one}\r\n' for name, one in fields.items()]
    parts.append('--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhostile\r\n--b--\r\n')
    headers = {"content-type": "multipart/form-data; boundary=b", "x-amz-security-token": signer.token}
    return fetch("POST", f"/{BUCKET}", headers, "".join(parts).encode()) or "taken"


@vector("other-content")
def other_content(world):
    # What is sent is not what was signed.
    path = path_of(folder("scratch") + "x")
    headers = Signer().headers("PUT", path, body=b"signed")
    return fetch("PUT", path, headers, b"signed" if world.planted else b"other!") or "taken"


def chunked(signer, path, content, forge=False, length=None):
    """A body in signed chunks; with `forge` the signature of the content's chunk is another one."""
    digest = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    more = {"x-amz-decoded-content-length": str(length or len(content)), "content-encoding": "aws-chunked"}
    headers = signer.headers("PUT", path, more=more, digest=digest)
    stamp, previous = headers["x-amz-date"], headers["authorization"].rpartition("=")[2]
    scope, body = signer.scope(stamp), b""
    for chunk in (content, b""):
        hashes = [hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()]
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous, *hashes])
        previous = hmac.digest(signer.key(scope), text.encode(), "sha256").hex()
        shown = "0" * 64 if forge and chunk else previous
        body += f"{len(chunk):x};chunk-signature={shown}\r\n".encode() + chunk + b"\r\n"
    return headers, body


@vector("forged-chunk")
def forged_chunk(world):
    path = path_of(folder("scratch") + "chunked")
    headers, body = chunked(Signer(), path, b"in chunks", forge=not world.planted)
    return fetch("PUT", path, headers, body) or "taken"


@vector("altered-chunk")
def altered_chunk(world):
    path = path_of(folder("scratch") + "chunked")
    headers, body = chunked(Signer(), path, b"in chunks")
    return fetch("PUT", path, headers, body if world.planted else body.replace(b"in chunks", b"IN CHUNKS")) or "taken"


@vector("lying-length")
def lying_length(world):
    path = path_of(folder("scratch") + "chunked")
    lengths = [None] if world.planted else [1, 1000]

    def said(length):
        headers, body = chunked(Signer(), path, b"in chunks", length=length)
        return fetch("PUT", path, headers, body) or "taken"

    return every([lambda one=one: said(one) for one in lengths])


@vector("bucket-settings")
def bucket_settings(world):
    names = ["policy", "acl", "tagging", "versioning", "cors", "lifecycle", "website", "notification", "replication"]
    return every([lambda name=name: s3("GET", f"/{BUCKET}", {name: ""}) for name in names])


@vector("change-bucket-policy")
def change_bucket_policy(world):
    policy = json.dumps({"Version": "2012-10-17", "Statement": []}).encode()
    return every(
        [
            lambda: s3("PUT", f"/{BUCKET}", {"policy": ""}, policy),
            lambda: s3("DELETE", f"/{BUCKET}", {"policy": ""}),
            lambda: s3("DELETE", f"/{BUCKET}"),
            lambda: s3("PUT", "/another-bucket"),
        ]
    )


@vector("object-settings")
def object_settings(world):
    path = path_of(own())
    names = ["acl", "tagging", "retention", "legal-hold", "torrent", "attributes"]
    return every([lambda name=name: s3("GET", path, {name: ""}) for name in names])


@vector("object-acl")
def object_acl(world):
    more = {} if world.planted else {"x-amz-acl": "public-read"}
    return s3("PUT", path_of(folder("scratch") + "public"), body=b"x", more=more) or "taken"


@vector("object-version")
def object_version(world):
    return s3("GET", path_of(own()), {} if world.planted else {"versionId": "1"})


@vector("smuggled-request")
def smuggled_request(world):
    # Two lengths: whoever takes the other one reads a second request in the body of the first.
    path = path_of(own())
    headers = Signer().headers("GET", path)
    connection = http.client.HTTPConnection(planes.host(planes.OBJECTS), timeout=20)
    connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if not world.planted:
        connection.putheader("content-length", "0")
        connection.putheader("content-length", "40")
    connection.endheaders(None if world.planted else b"GET /trace?list-type=2 HTTP/1.1\r\nhost: a\r\n\r\n")
    answer = connection.getresponse()
    return planes.stored(answer.status, answer.read())
