"""Attacks with tokens: RFC 8725 and what libraries had as vulnerabilities. Where a claim or a header is to be
refused for itself, the token is signed with the platform's own key."""

import hashlib
import hmac
import json
import time

import ecdsa
import planes
from attempts import vector

HEADER, CLAIMS = 0, 1


def part(number, token=None):
    return json.loads(ecdsa.decode((token or planes.capability()).split(".")[number]))


def platform_key(world):
    """The key that signed the task's own token: key ids are thumbprints (RFC 7638)."""
    for text in world.capability_keys:
        key = ecdsa.private_key(ecdsa.decode(text))
        x, y = (ecdsa.encode(one.to_bytes(32, "big")) for one in ecdsa.times(key))
        thumbprint = hashlib.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest()
        if ecdsa.encode(thumbprint) == part(HEADER)["kid"]:
            return key
    raise RuntimeError("none of the platform's keys signed this token")


def signed(world, header, claims, encoding=ecdsa.raw, key=None):
    """A token of these parts, which may be texts that no JSON writer would make."""
    text = ".".join(
        ecdsa.encode((one if isinstance(one, str) else json.dumps(one)).encode()) for one in (header, claims)
    )
    key = key or platform_key(world)
    return f"{text}.{ecdsa.encode(encoding(*ecdsa.sign(key, text.encode())))}"


def claimed(world, **claims):
    """The task's own token with other claims. One that is `None` is left out."""
    changed = {**part(CLAIMS), **({} if world.planted else claims)}
    return signed(world, part(HEADER), {name: value for name, value in changed.items() if value is not None})


def headed(world, **header):
    changed = {**part(HEADER), **({} if world.planted else header)}
    return signed(world, {name: value for name, value in changed.items() if value is not None}, part(CLAIMS))


def show(token):
    return f"the dispatcher believed it: {planes.context(token)['attempt']}"


def show_all(tokens):
    return planes.every([lambda token=token: show(token) for token in tokens])


def unsigned(header, claims, signature=b""):
    texts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(ecdsa.encode(text) for text in texts)


@vector("algorithm-none")
def algorithm_none(world):
    names = ["none", "None", "NONE", "nOnE", ""]
    return show_all(unsigned({**part(HEADER), "alg": name}, part(CLAIMS)) for name in names)


@vector("algorithm-hmac")
def algorithm_hmac(world):
    # The public key, which everybody has, as the secret of an HMAC: in every form that a library may have it.
    x, y = ecdsa.times(platform_key(world))
    point = b"\x04" + ecdsa.raw(x, y)
    spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + point
    pem = b"-----BEGIN PUBLIC KEY-----\n" + ecdsa.b2a_base64(spki) + b"-----END PUBLIC KEY-----\n"
    tokens = []
    for name, hashing in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for secret in (point, point[1:], spki, pem, pem.rstrip(), b""):
            text = unsigned({**part(HEADER), "alg": name}, part(CLAIMS)).rpartition(".")[0]
            tokens.append(f"{text}.{ecdsa.encode(hmac.digest(secret, text.encode(), hashing))}")
    return show_all(tokens)


@vector("algorithm-other")
def algorithm_other(world):
    names = ["RS256", "RS512", "PS256", "ES384", "ES512", "EdDSA", "ES256K", "es256", "dir"]
    return show_all(signed(world, {**part(HEADER), "alg": name}, part(CLAIMS)) for name in names)


@vector("algorithm-absent")
def algorithm_absent(world):
    return show(headed(world, alg=None))


def foreign_key():
    x, y = (ecdsa.encode(one.to_bytes(32, "big")) for one in ecdsa.times(7))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": part(HEADER)["kid"]}


@vector("header-jku")
def header_jku(world):
    return show(headed(world, jku="https://keys.example/jwks.json"))


@vector("header-jwk")
def header_jwk(world):
    return show(headed(world, jwk=foreign_key()))


@vector("header-x5u")
def header_x5u(world):
    return show(headed(world, x5u="file:///dev/null"))


@vector("header-x5c")
def header_x5c(world):
    return show(headed(world, x5c=["MIIB"]))


@vector("header-cty")
def header_cty(world):
    return show(headed(world, cty="JWT"))


@vector("header-crit")
def header_crit(world):
    return show(headed(world, crit=["b64"], b64=False))


@vector("embedded-key")
def embedded_key(world):
    # Signed with a key of the attacker's, which the header brings along.
    return show(signed(world, {**part(HEADER), "jwk": foreign_key()}, part(CLAIMS), key=7))


@vector("header-duplicates")
def header_duplicates(world):
    header = json.dumps(part(HEADER))
    twice = header if world.planted else header[:-1] + ', "alg": "none"}'
    return show(signed(world, twice, part(CLAIMS)))


@vector("type-of-others")
def type_of_others(world):
    return show_all(headed(world, typ=name) for name in ("JWT", "at+jwt", "trace-cap", "", None))


def key_id(world, *names):
    return show_all(headed(world, kid=name) for name in names)


@vector("key-id-unknown")
def key_id_unknown(world):
    return key_id(world, "nobody", "A" * 43)


@vector("key-id-path")
def key_id_path(world):
    return key_id(world, "../../../../dev/null", "/dev/null", "file:///dev/null", "keys/capability-es256.p8\0")


@vector("key-id-sql")
def key_id_sql(world):
    return key_id(world, "x' OR '1'='1", "x' UNION SELECT 'AAAA' --", "'; DROP TABLE leases; --")


@vector("key-id-absent")
def key_id_absent(world):
    return key_id(world, None)


@vector("key-id-odd")
def key_id_odd(world):
    return key_id(world, "", " ", "x" * 8000, part(HEADER)["kid"] + " ", part(HEADER)["kid"].swapcase())


@vector("signature-absent")
def signature_absent(world):
    return show(planes.capability().rpartition(".")[0] + ".")


@vector("signature-zero")
def signature_zero(world):
    # CVE-2022-21449: a verifier that forgets to check that both numbers are not zero believes everything.
    text = planes.capability().rpartition(".")[0]
    pairs = [(0, 0), (0, 1), (1, 0), (ecdsa.N, ecdsa.N), (ecdsa.N, 1), (2**256 - 1, 2**256 - 1)]
    return show_all(f"{text}.{ecdsa.encode(ecdsa.raw(*pair))}" for pair in pairs)


@vector("signature-der")
def signature_der(world):
    return show(signed(world, part(HEADER), part(CLAIMS), encoding=ecdsa.der))


@vector("signature-cut")
def signature_cut(world):
    text, _, signature = planes.capability().rpartition(".")
    octets = ecdsa.decode(signature)
    cut = [octets[:-1], octets[1:], octets[:32], octets + b"\0", b"\0" + octets, octets * 2]
    return show_all(f"{text}.{ecdsa.encode(one)}" for one in cut)


@vector("signature-swapped")
def signature_swapped(world):
    return show(signed(world, part(HEADER), part(CLAIMS), encoding=lambda r, s: ecdsa.raw(s, r)))


@vector("signature-of-another-key")
def signature_of_another_key(world):
    return show(signed(world, part(HEADER), part(CLAIMS), key=7))


@vector("altered-claims")
def altered_claims(world):
    header, _, signature = planes.capability().split(".")
    claims = {**part(CLAIMS), "exp": part(CLAIMS)["exp"] + 1}
    return show(f"{header}.{ecdsa.encode(json.dumps(claims).encode())}.{signature}")


@vector("base64-padded")
def base64_padded(world):
    return show(planes.capability() + "==")


@vector("base64-other-last-bits")
def base64_other_last_bits(world):
    # 64 bytes leave four bits of the last character unused.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = planes.capability()
    return show(token[:-1] + alphabet[alphabet.index(token[-1]) + 1])


@vector("base64-other-alphabet")
def base64_other_alphabet(world):
    while True:
        token = signed(world, part(HEADER), part(CLAIMS))
        text, _, signature = token.rpartition(".")
        if "-" in signature or "_" in signature:
            return show(f"{text}.{signature.replace('-', '+').replace('_', '/')}")


@vector("other-forms")
def other_forms(world):
    token = planes.capability()
    header, claims, signature = token.split(".")
    as_json = json.dumps({"protected": header, "payload": claims, "signature": signature})
    forms = [token + ".", "." + token, f"{header}.{claims}", f"{token}.{header}.{claims}", as_json, token[1:]]
    return show_all([token] if world.planted else forms)


@vector("audience-of-query")
def audience_of_query(world):
    return show(claimed(world, aud="trace:query"))


@vector("audience-list")
def audience_list(world):
    audiences = (["trace:dispatcher"], ["trace:dispatcher", "trace:query"], [], None, "", "TRACE:DISPATCHER")
    return show_all(claimed(world, aud=audience) for audience in audiences)


@vector("issuer-other")
def issuer_other(world):
    issuer = part(CLAIMS)["iss"]
    return show_all(claimed(world, iss=one) for one in ("trace-up", issuer + "/", issuer.upper(), ""))


@vector("issuer-list")
def issuer_list(world):
    return show_all(claimed(world, iss=one) for one in ([part(CLAIMS)["iss"], "other"], None, 7, {}))


@vector("expired")
def expired(world):
    now = int(time.time())
    return show_all(claimed(world, exp=now - ago, nbf=now - 100) for ago in (7, 60, 10**9))


@vector("not-yet")
def not_yet(world):
    now = int(time.time())
    return show_all(claimed(world, nbf=now + ahead, exp=now + 10**6) for ahead in (15, 10**5))


@vector("times-odd")
def times_odd(world):
    odd = [None, "9999999999", 9999999999.5, True, [], {}, 10**20, "NaN"]
    return show_all(claimed(world, exp=one) for one in odd)


@vector("times-infinite")
def times_infinite(world):
    claims = json.dumps(part(CLAIMS))
    end = f'"exp": {part(CLAIMS)["exp"]}'
    texts = [claims.replace(end, f'"exp": {one}') for one in ("1e999", "Infinity", "NaN", "-0x1", "1_000_000")]
    return show_all(signed(world, part(HEADER), text) for text in ([claims] if world.planted else texts))


@vector("times-negative")
def times_negative(world):
    return show_all(claimed(world, exp=one) for one in (-1, -(2**63), -(2**64)))


@vector("claims-of-other-types")
def claims_of_other_types(world):
    changes = [
        {"attempt": 1},
        {"sub": ["t1.1"]},
        {"sub": None},
        {"org": None},
        {"grants": "all"},
        {"grants": []},
        {"jti": "1"},
        {"iat": "now"},
        {"admin": True},
        {"grants": {**part(CLAIMS)["grants"], "output": f"s3://{planes.BUCKET}/"}},
        {"grants": {**part(CLAIMS)["grants"], "output": f"s3://{planes.BUCKET}/data/../"}},
    ]
    return show_all(claimed(world, **change) for change in changes)


@vector("claims-twice")
def claims_twice(world):
    claims = json.dumps(part(CLAIMS))
    more = [f'"{name}": {json.dumps(part(CLAIMS)[name])}' for name in ("exp", "sub", "attempt", "aud", "grants")]
    texts = [claims] if world.planted else [f"{claims[:-1]}, {one}}}" for one in more]
    return show_all(signed(world, part(HEADER), text) for text in texts)


@vector("claims-deep")
def claims_deep(world):
    deep = part(CLAIMS) if world.planted else json.dumps(part(CLAIMS))[:-1] + ', "a": ' + "[" * 4000 + "]" * 4000 + "}"
    return show(signed(world, part(HEADER), deep))


@vector("token-long")
def token_long(world):
    grants = part(CLAIMS)["grants"]
    long = {"dataset": "d1", "version": "dv1.0", "manifest": "0" * 64, "columns": ["the_name_of_a_column"] * 1000}
    grants = {**grants, "inputs": {**grants["inputs"], "long": long}}
    return show(signed(world, part(HEADER), {**part(CLAIMS), "grants": grants}))


def carried(path="/v1/task/context", headers=()):
    return planes.answered(*planes.ask(planes.TASKS, "GET", path, headers))[:100].decode()


@vector("token-in-address")
def token_in_address(world):
    token = planes.capability()
    good = [("authorization", f"Bearer {token}")]
    if world.planted:
        return carried(headers=good)
    return planes.every(
        [
            lambda: carried(f"/v1/task/context?access_token={token}"),
            lambda: carried(headers=[("cookie", f"token={token}")]),
            lambda: carried(headers=[("x-authorization", f"Bearer {token}")]),
            lambda: carried(headers=good * 2),
            lambda: carried(headers=[("authorization", f"Basic {token}")]),
            lambda: carried(headers=[("x-forwarded-user", "main-admin"), ("x-amzn-oidc-identity", "main-admin")]),
        ]
    )


@vector("task-token-at-query")
def task_token_at_query(world):
    return f"answered {planes.sql('SELECT 1', token=planes.capability())}"


@vector("query-token-at-dispatcher")
def query_token_at_dispatcher(world):
    return show(planes.query_token())


@vector("query-token-for-credentials")
def query_token_for_credentials(world):
    headers = planes.bearer(planes.query_token())
    return planes.answered(*planes.ask(planes.TASKS, "POST", "/v1/task/credentials", headers))[:40].decode()


@vector("token-at-store")
def token_at_store(world):
    key = planes.own()
    if world.planted:
        return planes.s3("GET", planes.path_of(key))
    return planes.stored(*planes.ask(planes.OBJECTS, "GET", planes.path_of(key), planes.bearer(planes.capability())))


@vector("token-for-gateway")
def token_for_gateway(world):
    return planes.post(planes.TASKS, "/v1/task/token", planes.capability(), {"audience": "trace:egress"})[:40]


@vector("user-token-at-dispatcher")
def user_token_at_dispatcher(world):
    return show(planes.capability() if world.planted else world.admin_token)


@vector("user-token-at-query")
def user_token_at_query(world):
    token = planes.query_token() if world.planted else world.admin_token
    return f"answered {planes.sql('SELECT 1', token=token)}"


@vector("attempt-of-another-task")
def attempt_of_another_task(world):
    run, _, number = part(CLAIMS)["sub"].rpartition(".")
    return show(claimed(world, sub=f"{run}.{int(number) - 1 if int(number) else 1}"))


@vector("attempt-of-nobody")
def attempt_of_nobody(world):
    return show_all(claimed(world, attempt=one) for one in ("a999999999", "a9223372036854775807"))


@vector("attempt-of-nobody-at-query")
def attempt_of_nobody_at_query(world):
    token = claimed(world, attempt="a999999998", aud="trace:query")
    return f"answered {planes.sql('SELECT 1', token=token)}"


@vector("hash-collision-of-memory")
def hash_collision_of_memory(world):
    # A verified token is remembered by its hash: another one with the same beginning is not it.
    planes.context()
    token = planes.capability()
    digest = hashlib.sha256(token.encode()).hexdigest()
    return show_all([token] if world.planted else [token + digest, token[:-4] + "AAAA", digest])
