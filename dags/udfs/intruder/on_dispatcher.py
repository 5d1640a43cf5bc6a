"""Attacks on the dispatcher: old, foreign and forged tokens, and doors that are for others."""

from attempts import attack, http
from tokens import tampered, unsigned


def context(world, token):
    return http("GET", f"{world.dispatcher}/v1/task/context", token)


@attack("dispatcher", "old token", "GET /v1/task/context")
def old_token(world):
    return context(world, world.old_token)


@attack("dispatcher", "new token for an old one", "POST /v1/task/token")
def renew_old(world):
    return http("POST", f"{world.dispatcher}/v1/task/token", world.old_token, b'{"audience":"trace:query"}')


@attack("dispatcher", "credentials for an old token", "POST /v1/task/credentials")
def credentials_of_old(world):
    return http("POST", f"{world.dispatcher}/v1/task/credentials", world.old_token, b"")


@attack("dispatcher", "token for another plane", "the query service's token")
def other_audience(world):
    return context(world, world.query_token)


@attack("dispatcher", "forged token", "alg none, another org")
def forged(world):
    return context(world, unsigned(world.token))


@attack("dispatcher", "changed token", "another org, the old signature")
def changed(world):
    return context(world, tampered(world.token))


@attack("dispatcher", "users' door", "GET /v1/datasets")
def users(world):
    return http("GET", f"{world.dispatcher}/v1/datasets", world.token)


@attack("dispatcher", "workers' door", "POST /internal/claim")
def workers(world):
    body = b'{"claim_id":"00000000-0000-4000-8000-000000000000","max":1}'
    return http("POST", f"{world.dispatcher}/internal/claim", world.token, body)
