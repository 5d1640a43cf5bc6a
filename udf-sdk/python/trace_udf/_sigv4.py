"""AWS Signature Version 4 for S3."""

from __future__ import annotations

import hashlib
import hmac
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def encoded(text: str, keep: str = "") -> str:
    """Percent-encodes all but unreserved characters and those of ``keep``."""
    kept = _UNRESERVED.union(keep.encode())
    return "".join(chr(b) if b in kept else f"%{b:02X}" for b in text.encode())


def query_string(parameters: Mapping[str, str]) -> str:
    """The canonical query string."""
    return "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(parameters.items()))


def signed_headers(
    method: str,
    host: str,
    path: str,
    query: str,
    body: bytes,
    region: str,
    keys: tuple[str, str, str],
    more: Mapping[str, str] | None = None,
    now: float | None = None,
) -> dict[str, str]:
    """The headers that authorise one request.

    Args:
        path: As it is sent, already encoded; S3 signs it as it is.
        query: The canonical query string.
        keys: Access key id, secret access key, session token (empty for none).
        more: Further headers to sign and send, names in lower case.
        now: Unix seconds; the clock's when absent.
    """
    key_id, secret, session_token = keys
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp, **(more or {})}
    if session_token:
        headers["x-amz-security-token"] = session_token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, path, query, lines, names, digest])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return {**headers, "authorization": authorization}
