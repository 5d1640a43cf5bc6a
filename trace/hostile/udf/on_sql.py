"""Attacks in SQL. The task reads `plain` whole, and of `people` the columns `id` and `station`, where the
station is JFK. Of the four people two are hidden, as are the columns `secret` and `amount`."""

import planes
from attempts import Denied, vector

VISIBLE = 2


def run(text):
    return f"answered {str(planes.sql(text))[:80]}"


def run_all(*texts):
    return planes.every([lambda text=text: run(text) for text in texts])


@vector("define-tables")
def define_tables(world):
    return run_all(
        "CREATE TABLE t (a INT)",
        "CREATE TABLE t AS SELECT * FROM plain",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE SCHEMA s",
        "CREATE DATABASE d",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "DROP TABLE plain",
        "ALTER TABLE plain ADD COLUMN b INT",
        "TRUNCATE TABLE plain",
    )


@vector("write-rows")
def write_rows(world):
    return run_all(
        "INSERT INTO plain VALUES (9)",
        "UPDATE plain SET id = 1",
        "DELETE FROM plain",
        "MERGE INTO plain USING people ON plain.id = people.id WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM plain RETURNING *) SELECT * FROM gone",
    )


@vector("copy-out")
def copy_out(world):
    return run_all(
        "COPY plain TO '/tmp/stolen.parquet'",
        "COPY (SELECT * FROM plain) TO 's3://trace/stolen/' STORED AS PARQUET",
        "COPY plain FROM '/etc/passwd'",
        "COPY plain TO PROGRAM 'id'",
    )


@vector("settings")
def settings(world):
    return run_all(
        "SET datafusion.execution.target_partitions = 64",
        "SET datafusion.catalog.information_schema = true",
        "RESET datafusion.execution.target_partitions",
        "SHOW ALL",
        "SHOW TABLES",
        "SHOW COLUMNS FROM people",
        "USE trace",
    )


@vector("other-statements")
def other_statements(world):
    return run_all(
        "BEGIN", "COMMIT", "PREPARE p AS SELECT 1", "EXECUTE p", "ANALYZE TABLE plain", "CALL f()", "KILL 1", "VACUUM"
    )


@vector("explain")
def explain(world):
    return run("EXPLAIN SELECT * FROM people")


@vector("explain-analyze")
def explain_analyze(world):
    return run("EXPLAIN ANALYZE VERBOSE SELECT * FROM people")


@vector("describe")
def describe(world):
    return run("DESCRIBE people")


@vector("several-statements")
def several_statements(world):
    return run("SELECT 1" if world.planted else "SELECT 1; SELECT 2")


@vector("select-into")
def select_into(world):
    return run("SELECT * INTO copy FROM plain")


@vector("recursion")
def recursion(world):
    # It has an end, so that its control has one too.
    return run("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT max(n) FROM t")


@vector("lock-rows")
def lock_rows(world):
    return run("SELECT * FROM plain FOR UPDATE")


@vector("variables")
def variables(world):
    return run_all("SELECT @@version", "SELECT @x", "SELECT $1", "SELECT * FROM plain WHERE id = ?")


def tables(*names):
    return run_all(*(f"SELECT * FROM {name}" for name in names))


@vector("catalogs")
def catalogs(world):
    names = ["information_schema.tables", "information_schema.columns", "information_schema.df_settings"]
    names += ["pg_catalog.pg_class", "pg_tables", "sqlite_master", "system.runtime", "datafusion.public.plain"]
    return tables(*(["plain"] if world.planted else names))


@vector("tables-of-others")
def tables_of_others(world):
    names = ["secret", "made", "trace.granted.plain", "granted.plain", '"PLAIN"', '"plain "', '"people"."people"']
    return tables(*(["plain"] if world.planted else names))


@vector("files-as-tables")
def files_as_tables(world):
    names = ["'/etc/passwd'", "'file:///etc/passwd'", '"/etc/passwd.csv"', "'s3://trace/data/'", '"../plain.parquet"']
    names += ["'http://127.0.0.1/x.parquet'", "'http://169.254.169.254/latest/meta-data'", '"granted://objects/x"']
    return tables(*(["plain"] if world.planted else names))


@vector("hidden-tables-in-subqueries")
def hidden_tables_in_subqueries(world):
    name = "plain" if world.planted else "secret"
    return run_all(
        f"SELECT (SELECT max(id) FROM {name})",
        f"SELECT * FROM plain WHERE id IN (SELECT id FROM {name})",
        f"SELECT * FROM plain WHERE EXISTS (SELECT 1 FROM {name})",
        f"WITH w AS (SELECT * FROM {name}) SELECT * FROM w",
        f"SELECT id FROM plain UNION ALL SELECT id FROM {name}",
        f"SELECT * FROM plain JOIN LATERAL (SELECT * FROM {name}) AS x ON true",
    )


@vector("table-functions")
def table_functions(world):
    return run_all(
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM read_csv('http://169.254.169.254/')",
        "SELECT * FROM parquet_metadata('x')",
        "SELECT * FROM generate_series(1, 1000000000000)",
        "SELECT * FROM range(1, 1000000000000)",
        "SELECT * FROM TABLE(range(1, 10))",
    )


def function(call):
    return run(f"SELECT octet_length(CAST({call} AS VARCHAR))")


@vector("repeat")
def repeat(world):
    return function("repeat('x', 10000000)")


@vector("pad")
def pad(world):
    return planes.every([lambda: function("lpad('x', 10000000)"), lambda: function("rpad('x', 10000000)")])


@vector("long-lists")
def long_lists(world):
    return planes.every(
        [
            lambda: run("SELECT array_length(range(0, 10000000))"),
            lambda: run("SELECT array_length(generate_series(0, 10000000))"),
            lambda: run("SELECT array_length(array_repeat(1, 10000000))"),
            lambda: run("SELECT array_length(array_resize([1], 10000000, 1))"),
        ]
    )


@vector("functions-that-tell")
def functions_that_tell(world):
    return run_all("SELECT version()", "SELECT random()", "SELECT uuid()")


@vector("operating-system-functions")
def operating_system_functions(world):
    return run_all(
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT load_file('/etc/passwd')",
        "SELECT getenv('PATH')",
        "SELECT pg_sleep(60)",
        "SELECT current_setting('x')",
        "SELECT load_extension('x')",
    )


def concatenated(levels):
    """A table with one text `t` of 1 KiB, sixty-four times as long with each level."""
    text = f"SELECT '{'x' * 1024}' AS t0"
    for level in range(levels):
        text = f"SELECT concat({', '.join([f't{level}'] * 64)}) AS t{level + 1} FROM ({text})"
    return f"(SELECT t{levels} AS t FROM ({text}))"


@vector("concatenation-bomb")
def concatenation_bomb(world):
    # 1.25 GiB, where an engine has 1.
    return run(f"SELECT octet_length(concat({', '.join(['t'] * 5)})) FROM {concatenated(3)}")


@vector("aggregation-bomb")
def aggregation_bomb(world):
    rows = ", ".join(["(1)"] * 320)
    return run(f"SELECT octet_length(string_agg(t, ',')) FROM {concatenated(2)} CROSS JOIN (VALUES {rows}) AS many(n)")


@vector("regular-expression-bomb")
def regular_expression_bomb(world):
    pattern = "(a+)+$" if world.planted else "((a{1,1000}){1,1000}){1,1000}"
    return run(f"SELECT regexp_like(concat('{'a' * 500}', CAST(id AS VARCHAR)), '{pattern}') FROM plain")


@vector("cross-join")
def cross_join(world):
    # 10^11 rows, and 10^4 in the control.
    rows = ", ".join(["(1)"] * (10 if world.planted else 550))
    tables_ = ", ".join(f"(VALUES {rows}) AS t{number}(n)" for number in range(4))
    return run(f"SELECT sum(t0.n + t1.n * t2.n - t3.n) FROM {tables_}")


def many_rows(count):
    rows = ", ".join(["(1)"] * 101)
    return f"SELECT 1 AS n FROM (VALUES {rows}) a, (VALUES {rows}) b, (VALUES {rows}) c LIMIT {count}"


@vector("many-rows")
def many_rows_(world):
    # A result has a million.
    return f"answered {len(planes.sql(many_rows(1_000_001), form='csv'))} bytes"


def many_bytes():
    # A result has 32 MiB.
    rows = ", ".join(["(1)"] * 9)
    return f"SELECT t FROM {concatenated(2)}, (VALUES {rows}) AS many(n)"


@vector("many-bytes")
def many_bytes_(world):
    return f"answered {len(planes.sql(many_bytes()))} rows"


@vector("many-bytes-as-csv")
def many_bytes_as_csv(world):
    return f"answered {len(planes.sql(many_bytes(), form='csv'))} bytes"


@vector("long-statement")
def long_statement(world):
    return run("SELECT 1" if world.planted else f"SELECT '{'x' * 70_000}'")


@vector("huge-list")
def huge_list(world):
    return run(f"SELECT count(*) FROM plain WHERE id IN ({', '.join(str(n % 10) for n in range(6_000))})")


@vector("deep-parentheses")
def deep_parentheses(world):
    return run(f"SELECT {'(' * 100}1{')' * 100}")


@vector("deep-expression")
def deep_expression(world):
    return run(f"SELECT {' + '.join(['id'] * 400)} FROM plain")


@vector("many-branches")
def many_branches(world):
    return run(" UNION ALL ".join(["SELECT 1"] * 300))


@vector("many-tables")
def many_tables(world):
    return run(f"SELECT 1 FROM {', '.join(f'(SELECT 1) AS t{n}' for n in range(70))}")


@vector("doubling")
def doubling(world):
    # Each common table expression reads the one before twice.
    steps = ["w0 AS (SELECT 1 AS n)"]
    steps += [f"w{n + 1} AS (SELECT * FROM w{n} UNION ALL SELECT * FROM w{n})" for n in range(9)]
    return run(f"WITH {', '.join(steps)} SELECT count(*) FROM w9")


def learns(rows, expected, what):
    """What a question about hidden rows answers: as much as if there were none, or more."""
    if rows == expected:
        raise Denied("absent", f"{what}: {rows}")
    return f"learned {what}: {rows}"


@vector("hidden-rows")
def hidden_rows(world):
    return learns(planes.sql("SELECT id FROM people WHERE station <> 'JFK'"), [], "rows")


@vector("hidden-rows-by-or")
def hidden_rows_by_or(world):
    rows = planes.sql("SELECT count(*) FROM people WHERE station = 'JFK' OR 1 = 1 OR station IS NULL")
    return learns(rows, [[VISIBLE]], "rows")


@vector("hidden-rows-by-count")
def hidden_rows_by_count(world):
    return learns(planes.sql("SELECT count(*), count(id), count(DISTINCT id) FROM people"), [[2, 2, 2]], "counts")


@vector("hidden-rows-by-statistics")
def hidden_rows_by_statistics(world):
    rows = planes.sql("SELECT min(id), max(id), min(station), max(station) FROM people")
    return learns(rows, [[1, 2, "JFK", "JFK"]], "extremes")


@vector("hidden-rows-by-order")
def hidden_rows_by_order(world):
    return learns(planes.sql("SELECT id FROM people ORDER BY id DESC LIMIT 1"), [[2]], "the last")


@vector("hidden-rows-by-limit")
def hidden_rows_by_limit(world):
    return learns(planes.sql(f"SELECT id FROM people LIMIT 10 OFFSET {VISIBLE}"), [], "the third")


@vector("hidden-rows-by-join")
def hidden_rows_by_join(world):
    rows = planes.sql("SELECT count(*) FROM plain LEFT JOIN people ON plain.id = people.id WHERE people.id IS NOT NULL")
    return learns(rows, [[VISIBLE]], "partners")


@vector("hidden-rows-by-window")
def hidden_rows_by_window(world):
    rows = planes.sql("SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY id) AS n FROM people)")
    return learns(rows, [[VISIBLE]], "numbers")


def fails(text):
    """Whether a question fails, which would tell that there is a row on which it does."""
    try:
        rows = planes.sql(text)
    except Denied as denied:
        return f"learned from an error: {denied.detail[:80]}"
    raise Denied("absent", f"no error: {rows}")


@vector("hidden-rows-by-division")
def hidden_rows_by_division(world):
    # The hidden person has the id 3.
    return fails("SELECT count(*) FROM people WHERE 1 / (id - 3) > 5")


@vector("hidden-rows-by-cast")
def hidden_rows_by_cast(world):
    return fails("SELECT max(CAST(CASE WHEN station = 'EWR' THEN station ELSE '1' END AS INT)) FROM people")


@vector("hidden-rows-by-overflow")
def hidden_rows_by_overflow(world):
    return fails("SELECT max(id) FROM people WHERE arrow_cast(id * 50, 'Int8') IS NULL AND id > 2")


@vector("hidden-columns")
def hidden_columns(world):
    return run_all(
        "SELECT secret FROM people",
        "SELECT people.secret FROM people",
        'SELECT "secret" FROM people',
        "SELECT id FROM people ORDER BY secret",
        "SELECT count(secret) FROM people",
        "SELECT id FROM people WHERE secret IS NOT NULL",
        "SELECT p.secret FROM people AS p",
    )


@vector("hidden-columns-by-star")
def hidden_columns_by_star(world):
    rows = planes.sql("SELECT * FROM people ORDER BY id")
    return learns([len(row) for row in rows], [2, 2], "columns")


@vector("hidden-columns-by-error")
def hidden_columns_by_error(world):
    # What an error proposes instead of a column that there is not.
    try:
        planes.sql("SELECT secre FROM people")
    except Denied as denied:
        if "secret" in denied.detail:
            return f"learned {denied.detail}"
        raise Denied("absent", denied.detail) from None
    return "answered"


