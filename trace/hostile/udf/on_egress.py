"""Attacks on the way out: through the sandbox's proxy and the egress gateway."""

import base64
import http.client
import os
import socket

import holder
import on_tokens
import planes
from attempts import SECRET, Denied, vector

PROXY = "HTTP_PROXY"
# Where the proxy is for those who have one.
ADDRESS = ("127.0.0.1", 8004)
# What the server outside says, which everybody with a grant may hear.
OUTSIDE = b"outside"
# What the gateway says into a tunnel that it ends: TLS's `unrecognized_name`.
ALERT = bytes([21, 3, 1, 0, 2, 2, 112])


def get(address, host, headers=(), path="/"):
    """Asks for `http://ADDRESS/` through the proxy. Answers (status, body)."""
    return planes.ask(PROXY, "GET", f"http://{address}{path}", [("host", host), *headers])


def heard(address, words, **more):
    """What an address answers, if it says these words."""
    body = planes.answered(*get(address, more.pop("host", address), **more))
    if words not in body:
        raise RuntimeError(f"somebody else answered: {body[:100]!r}")
    return f"{address} answered"


def at(world, host):
    return f"{host}:{world.outside_port}"


def secret_of(world, host):
    """Hears the secret of a private place, if this host is reached."""
    return heard(at(world, host), SECRET)


@vector("egress-private-address")
def private_address(world):
    return secret_of(world, "127.0.0.3")


@vector("egress-mapped-address")
def mapped_address(world):
    return secret_of(world, "[::ffff:127.0.0.3]")


@vector("egress-private-name")
def private_name(world):
    return secret_of(world, "private.example.com")


@vector("egress-mixed-name")
def mixed_name(world):
    return secret_of(world, "mixed.example.com")


@vector("egress-alias-of-private")
def alias_of_private(world):
    return secret_of(world, "alias.example.com")


@vector("egress-without-grant")
def without_grant(world):
    with socket.create_connection(ADDRESS, timeout=20) as sock:
        sock.sendall(b"GET http://out.example.com/ HTTP/1.1\r\nHost: out.example.com\r\nConnection: close\r\n\r\n")
        return f"a proxy answered {received(sock)[:80]!r}"


@vector("egress-other-host")
def other_host(world):
    return heard(at(world, "other.example.com"), OUTSIDE)


@vector("egress-other-port")
def other_port(world):
    return heard(f"out.example.com:{world.other_port}", OUTSIDE)


@vector("egress-tunnel-to-other-host")
def tunnel_to_other_host(world):
    return tunnelled(at(world, "other.example.com"), hello("other.example.com"))


@vector("egress-address-notations")
def address_notations(world):
    if world.planted:
        return heard(at(world, "out.example.com"), OUTSIDE)
    hosts = ["2130706435", "0x7f000003", "0x7f.3", "0177.0.0.3", "127.3", "127.0.3", "127.0.0.003"]
    return planes.every([lambda host=host: heard(at(world, host), SECRET) for host in hosts])


@vector("egress-alias-chain")
def alias_chain(world):
    return heard(at(world, "chain.example.com"), OUTSIDE)


@vector("egress-rebinding")
def rebinding(world):
    # Its name server names a harmless address and the private one by turns.
    seen, denied = 0, None
    for _ in range(3):
        try:
            body = planes.answered(*get(at(world, "rebinds.example.com"), at(world, "rebinds.example.com")))
        except Denied as one:
            denied = one
            continue
        if SECRET in body:
            return "the second answer was believed"
        seen += OUTSIDE in body
    if not (seen and denied):
        raise RuntimeError(f"it did not turn: {seen} answers, {denied}")
    raise denied


@vector("egress-metadata-name")
def metadata_name(world):
    return heard(at(world, "metadata.goog"), OUTSIDE)


@vector("egress-metadata-address")
def metadata_address(world):
    return heard(at(world, "meta.example.com"), b"")


def of_machine(port, path):
    """Whatever a listener of the machine answers, its own refusals too."""
    address = f"machine.example.com:{port}"
    status, body = get(address, address, path=path)
    if status == 503 or status == 403:
        planes.answered(status, body)
    return f"it answered {status}"


@vector("egress-platform")
def platform(world):
    return of_machine(world.internal_port, "/internal/liveness")


@vector("egress-proxy-itself")
def proxy_itself(world):
    return of_machine(world.gateway_port, "/healthz")


def received(sock):
    answer = b""
    while piece := sock.recv(65_536):
        answer += piece
    return answer


def tunnelled(to, first):
    """Opens a tunnel, sends this, and answers what comes back."""
    with socket.create_connection(ADDRESS, timeout=20) as sock:
        sock.sendall(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = sock.recv(1)
            if not piece:
                raise RuntimeError(f"the proxy closed after {head!r}")
            head += piece
        status = int(head.split(b" ")[1])
        if status != 200:
            planes.answered(status, received(sock))
        sock.sendall(first)
        answer = received(sock)
    if answer == ALERT:
        raise Denied("tls unrecognized_name", "the tunnel was closed")
    if OUTSIDE not in answer:
        raise RuntimeError(f"somebody else answered: {answer[:100]!r}")
    return f"{to} answered in the tunnel"


def hello(name):
    """A ClientHello of TLS 1.3 for the server of this name, or for none."""

    def sized(content, octets=2):
        return len(content).to_bytes(octets, "big") + content

    def extension(number, content):
        return number.to_bytes(2, "big") + sized(content)

    share = sized((0x001D).to_bytes(2, "big") + sized(os.urandom(32)))
    extensions = [
        extension(43, sized(bytes.fromhex("0304"), 1)),
        extension(10, sized(bytes.fromhex("001d"))),
        extension(13, sized(bytes.fromhex("04030804"))),
        extension(51, share),
    ]
    if name:
        extensions.insert(0, extension(0, sized(b"\0" + sized(name.encode()))))
    body = b"\x03\x03" + os.urandom(32) + b"\0" + sized(bytes.fromhex("1301")) + b"\x01\0" + sized(b"".join(extensions))
    return b"\x16\x03\x01" + sized(b"\x01" + sized(body, 3))


def in_tunnel(world, *firsts):
    to = at(world, "out.example.com")
    return planes.every([lambda first=first: tunnelled(to, first) for first in firsts])


@vector("egress-other-server-name")
def other_server_name(world):
    return in_tunnel(world, *(hello(name) for name in ("other.example.com", "sub.out.example.com", "out.example.co")))


@vector("egress-no-server-name")
def no_server_name(world):
    return in_tunnel(world, hello(None))


@vector("egress-no-tls")
def no_tls(world):
    plain = b"GET / HTTP/1.1\r\nHost: out.example.com\r\n\r\n"
    return in_tunnel(world, plain, b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"EHLO out.example.com\r\n\r\n")


@vector("egress-host-differs")
def host_differs(world):
    body = planes.answered(*get(at(world, "out.example.com"), at(world, "other.example.com")))
    if b"other.example.com" not in body:
        raise Denied("host rewritten", body[:200])
    return "the server was asked for another host"


@vector("egress-other-forms")
def other_forms(world):
    port, name = world.outside_port, "out.example.com"
    if world.planted:
        return heard(at(world, name), OUTSIDE)
    targets = [f"GET http://user@{name}:{port}/", f"GET http://{name}:{port}@private.example.com:{port}/"]
    targets += [f"GET https://{name}:{port}/", f"GET ftp://{name}:{port}/", f"GET http://{name}:0/", f"GET http://{name}.:{port}/"]
    targets += [f"CONNECT user:password@{name}:{port}", f"CONNECT {name}", f"CONNECT {name}.:{port}"]
    return planes.every([lambda target=target: planes.answered(*raw(f"{target} HTTP/1.1\r\n\r\n")) for target in targets])


def raw(request):
    """Sends this as it is, and answers (status, body)."""
    with socket.create_connection(ADDRESS, timeout=20) as sock:
        sock.sendall(request.encode())
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, answer.read()


@vector("egress-smuggling")
def smuggling(world):
    to = at(world, "out.example.com")
    hidden = f"GET http://{at(world, 'other.example.com')}/ HTTP/1.1\r\n\r\n"
    chunks = f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"
    start = f"POST http://{to}/ HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n"
    if world.planted:
        return planes.answered(*raw(f"{start}Transfer-Encoding: chunked\r\n\r\n{chunks}"))
    forms = [
        f"{start}Content-Length: 0\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}",
        f"{start}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}",
        f"{start}Transfer-Encoding: chunked, identity\r\n\r\n{chunks}",
        f"{start}Transfer-Encoding: \x0bchunked\r\n\r\n{chunks}",
        f"{start}Transfer-Encoding : chunked\r\n\r\n{chunks}",
        f"{start}X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n{chunks}",
        f"{start}X-A: b\nTransfer-Encoding: chunked\r\n\r\n{chunks}",
        f"{start}Content-Length: +{len(hidden)}\r\n\r\n{hidden}",
    ]
    return planes.every([lambda form=form: planes.answered(*raw(form)) for form in forms])


@vector("egress-bytes")
def more_bytes(world):
    # 64 KiB are granted.
    to, got = at(world, "bytes.example.com"), 0
    for _ in range(4):
        try:
            got += len(planes.answered(*get(to, to, path="/bytes/40000")))
        except (http.client.HTTPException, ConnectionError):
            # Broken off; the next one says why.
            continue
    if got != 160_000:
        raise RuntimeError(f"{got} bytes came, and nothing was refused")
    return f"{got} bytes came"


@vector("egress-requests")
def more_requests(world):
    # Three are granted.
    to = at(world, "requests.example.com")
    for _ in range(5):
        planes.answered(*get(to, to))
    return "five requests were answered"


def forged_token(world, attempt=0):
    """A token for the gateway as the task itself may have one, with a grant more and, if asked for, of another attempt."""
    token = holder.egress_token()
    claims = on_tokens.part(on_tokens.CLAIMS, token)
    egress = claims["grants"]["egress"]
    egress.append({**egress[0], "destination": at(world, "other.example.com")})
    if attempt:
        claims["attempt"] = f"a{int(claims['attempt'][1:]) + attempt}"
    return on_tokens.signed(world, on_tokens.part(on_tokens.HEADER, token), claims)


def shown(world, token):
    basic = base64.b64encode(f"trace:{token}".encode()).decode()
    headers = [
        ("Proxy-Authorization", f"Bearer {token}"),
        ("proxy-authorization", f"bearer {token}"),
        ("PROXY-AUTHORIZATION", f"Basic {basic}"),
        ("Proxy-Authorization", f"Basic {basic}"),
    ]
    to = at(world, "other.example.com")
    return planes.every([lambda header=header: heard(to, OUTSIDE, headers=[header]) for header in headers])


@vector("egress-own-token")
def own_token(world):
    return shown(world, forged_token(world))


@vector("egress-token-of-another")
def token_of_another(world):
    return shown(world, forged_token(world, 1_000))
