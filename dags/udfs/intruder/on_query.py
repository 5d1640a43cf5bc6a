"""Attacks on the query service: other data, other statements, other tokens."""

import json

from attempts import Blocked, attack, http
from tokens import unsigned


def sql(world, statement):
    rows = world.ctx.sql(statement)
    return f"{len(rows)} rows: {list(rows[:2])}"


STATEMENTS = [
    ("another org's dataset", "SELECT * FROM rival_secrets"),
    ("another org's dataset by its full name", "SELECT * FROM rival.rival_secrets"),
    ("a dataset of the own org that is no input", "SELECT * FROM route_stats"),
    ("a column that the grant leaves out", "SELECT wind_speed FROM weather"),
    ("the catalog", "SELECT * FROM information_schema.tables"),
    ("a statement that creates", "CREATE TABLE stolen AS SELECT 1 AS one"),
    ("a statement that writes", "INSERT INTO weather VALUES ('JFK', NULL, 1.0)"),
    ("a statement that drops", "DROP TABLE weather"),
    ("a file of the service", "SELECT * FROM '/etc/passwd'"),
    (
        "a file of the service as a table",
        "CREATE EXTERNAL TABLE p (l VARCHAR) STORED AS CSV LOCATION '/etc/passwd'",
    ),
    ("a copy to the service's disk", "COPY (SELECT 1) TO '/tmp/stolen.csv'"),
    ("a setting of the service", "SET datafusion.catalog.information_schema = true"),
    ("two statements in one", "SELECT 1; DROP TABLE weather"),
]


def register(vector, statement):
    @attack("query", vector, statement)
    def run(world):
        return sql(world, statement)


for named, text in STATEMENTS:
    register(named, text)


@attack("query", "rows that the grant leaves out", "SELECT … WHERE origin <> 'JFK'")
def hidden_rows(world):
    seen = world.ctx.sql("SELECT count(*) AS n FROM weather WHERE origin <> 'JFK'")[0]["n"]
    origins = world.ctx.sql("SELECT DISTINCT origin FROM weather").column("origin")
    if seen or origins != ["JFK"]:
        return f"{seen} rows of {origins}"
    raise Blocked("the filter lies below every predicate: 0 rows besides JFK's")


def ask(world, token):
    body = json.dumps({"sql": "SELECT count(*) AS n FROM weather"}).encode()
    return http("POST", f"{world.query}/v1/task/query", token, body)


@attack("query", "old token", "the query token of an attempt that is over")
def old_token(world):
    return ask(world, world.old_query_token)


@attack("query", "token for another plane", "the dispatcher's token")
def other_audience(world):
    return ask(world, world.token)


@attack("query", "forged token", "alg none, another org")
def forged(world):
    return ask(world, unsigned(world.query_token))


@attack("query", "no token", "none")
def anonymous(world):
    return ask(world, None)
