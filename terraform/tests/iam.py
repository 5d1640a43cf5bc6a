"""Enough of IAM's evaluation for the policies here: who asks for what, under which conditions, and the verdict.

An operator or form that is not known is an error, never a match: a policy that this can't judge fails the tests.
"""

import re

from world import as_list

ALLOWED, DENIED, NOTHING = "allowed", "denied", "nothing"


def verdict(statements, *, action, resource, context):
    """`denied` if a statement denies, else `allowed` if one allows, else `nothing`. `context` has the condition keys
    in lower case, as lists of strings; the principal is in them as `aws:principalarn`."""
    effects = {s["Effect"] for s in statements if _matches(s, action, resource, context)}
    return DENIED if "Deny" in effects else ALLOWED if "Allow" in effects else NOTHING


def request(principal, **more):
    """The context of a request by a principal of this ARN; more keys as `aws__SecureTransport="true"`."""
    account = principal.split(":")[4]
    context = {
        "aws:principalarn": [principal],
        "aws:principalaccount": [account],
        "aws:principalisawsservice": ["false"],
        "aws:securetransport": ["true"],
        "s3:tlsversion": ["1.3"],
    }
    for name, value in more.items():
        context[name.replace("__", ":").lower()] = as_list(value)
    return context


def _matches(statement, action, resource, context):
    if "Action" in statement and not any(_like(p, action, case=False) for p in statement["Action"]):
        return False
    if "NotAction" in statement and any(_like(p, action, case=False) for p in statement["NotAction"]):
        return False
    if "Resource" in statement and not any(_like(p, resource) for p in statement["Resource"]):
        return False
    if "NotResource" in statement and any(_like(p, resource) for p in statement["NotResource"]):
        return False
    if not _principal(statement.get("Principal", "*")):
        return False
    return all(
        _holds(operator, as_list(wanted), context.get(key.lower()))
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _principal(principal):
    # Policies here either name everybody and put conditions on it, or name services, which no test is.
    return principal == "*" or (isinstance(principal, dict) and as_list(principal.get("AWS", [])) == ["*"])


def _holds(operator, wanted, values):
    if operator == "Null":
        return (values is None) == (wanted == ["true"])
    if operator.endswith("IfExists"):
        return values is None or _holds(operator.removesuffix("IfExists"), wanted, values)
    test, negated = {
        "StringEquals": (lambda w, v: w == v, False),
        "StringNotEquals": (lambda w, v: w == v, True),
        "StringLike": (_like, False),
        "StringNotLike": (_like, True),
        "ArnEquals": (_like, False),
        "ArnLike": (_like, False),
        "ArnNotLike": (_like, True),
        "Bool": (lambda w, v: w.lower() == v.lower(), False),
        "NumericLessThan": (lambda w, v: float(v) < float(w), False),
    }[operator]
    if values is None:
        return negated
    return any(test(w, v) for w in wanted for v in values) != negated


def _like(pattern, value, case=True):
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, 0 if case else re.IGNORECASE) is not None
