"""Tokens that nobody signed."""

import base64
import json


def decode(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def encode(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def of_another_org(claims):
    return {**claims, "org": "o2" if claims.get("org") != "o2" else "o1"}


def unsigned(token):
    """The same claims for another org, and a header that says that no signature is needed."""
    header, claims, _ = token.split(".")
    return f"{encode({**decode(header), 'alg': 'none'})}.{encode(of_another_org(decode(claims)))}."


def tampered(token):
    """The same claims for another org, with the signature of the real ones."""
    header, claims, signature = token.split(".")
    return f"{header}.{encode(of_another_org(decode(claims)))}.{signature}"
