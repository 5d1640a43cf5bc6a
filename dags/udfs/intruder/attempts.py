"""How an attack is tried, and what counts as a denial.

An attack is a function that returns what it got. It is denied only when something refused it; one
that found nothing to refuse it, or that could not be tried, is reported as not denied.
"""

import json
import os
import re
import signal
import urllib.error
import urllib.request

from trace_udf import TraceError

from child import in_child

SECONDS = 8

# 404 is a refusal of the platform's services, which don't tell what a caller may not know.
SERVICE_REFUSALS = (400, 401, 403, 404, 405)


class Blocked(Exception):
    """Something refused the attack, in these words."""


ATTACKS = []


def attack(plane, vector, target):
    """Registers a function as an attack on a plane: sandbox, query, object_store or dispatcher."""

    def register(function):
        ATTACKS.append((plane, vector, target, function))
        return function

    return register


def report(world):
    """Tries everything, and yields a row for each attack."""
    for plane, vector, target, function in ATTACKS:
        # What the kernel may end a process for is tried in a process of its own.
        attempt = of_child if plane == "sandbox" else verdict
        denied, happened = attempt(function, world)
        yield {
            "vector": vector,
            "target": target,
            "plane": plane,
            "denied": denied,
            "what_happened": happened[:300],
        }


def verdict(function, world):
    """Whether the attack was denied, and what happened."""
    try:
        got = function(world)
    except Blocked as blocked:
        return True, str(blocked)
    except TraceError as error:
        # A plane that is broken or busy has not denied anything.
        return 400 <= error.status < 500 and error.status != 429, str(error)
    except OSError as error:
        return True, f"{type(error).__name__}: {error}"
    except Exception as error:
        return False, f"could not be tried: {type(error).__name__}: {error}"
    return False, f"NOT DENIED: {got}"


def of_child(function, world):
    """The same in a child, which the kernel may kill."""
    answer, status = in_child(lambda: verdict(function, world), SECONDS)
    if answer:
        return tuple(answer)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        return True, "the kernel ended the process for a forbidden system call (SIGSYS)"
    return False, f"no verdict: wait status {status}, or no end within {SECONDS} s"


def http(method, url, token=None, body=None, headers=None, refusals=SERVICE_REFUSALS):
    """One request with nothing of the SDK; a refusal is Blocked, anything else is returned."""
    sent = dict(headers or {})
    if token:
        sent["authorization"] = f"Bearer {token}"
    if body is not None:
        sent.setdefault("content-type", "application/json")
    request = urllib.request.Request(url, data=body, headers=sent, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return f"{answer.status}: {answer.read(2000).decode('utf-8', 'replace')}"
    except urllib.error.HTTPError as refusal:
        said = refusal.read(2000).decode("utf-8", "replace")
        said = reason(said)
        if refusal.code in refusals:
            raise Blocked(f"{refusal.code} {said}") from None
        raise RuntimeError(f"no verdict: {refusal.code} {said}") from None
    except OSError as error:
        # The service is not there, which is no refusal.
        raise RuntimeError(f"no answer: {error}") from None


def reason(said):
    """Code and detail of a refusal, in the form of the platform or of S3."""
    try:
        problem = json.loads(said)
        return f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        found = re.search("<Code>(.*?)</Code><Message>(.*?)</Message>", said)
        return f"{found[1]}: {found[2]}" if found else said
