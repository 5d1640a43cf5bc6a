"""ES256 in plain Python, for tokens that no library would make. The key is the platform's own, which no
attacker has: with it every check besides the signature is shown to hold by itself."""

import hashlib
import secrets
from binascii import a2b_base64, b2a_base64

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def add(left, right):
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if left == right:
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) % P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times(number, point=G):
    total = None
    while number:
        if number & 1:
            total = add(total, point)
        point = add(point, point)
        number >>= 1
    return total


def private_key(pkcs8):
    """The number in a PKCS #8 file: an octet string of 32 bytes."""
    at = pkcs8.index(b"\x04\x20") + 2
    return int.from_bytes(pkcs8[at : at + 32], "big")


def sign(key, message):
    """The two numbers of a signature."""
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    nonce = secrets.randbelow(N - 1) + 1
    r = times(nonce)[0] % N
    return r, pow(nonce, -1, N) * (digest + r * key) % N


def raw(r, s):
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def der(r, s):
    def integer(number):
        octets = number.to_bytes(number.bit_length() // 8 + 1, "big")
        return b"\x02" + bytes([len(octets)]) + octets

    body = integer(r) + integer(s)
    return b"\x30" + bytes([len(body)]) + body


def encode(octets):
    return b2a_base64(octets, newline=False).decode().rstrip("=").replace("+", "-").replace("/", "_")


def decode(text):
    return a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
