//! The table of what passes the gate and what does not.

use trace_contracts::ErrorCode::{self, Forbidden, SqlFailed, SqlRefused};

use crate::testing::{Warehouse, flights};

async fn warehouse() -> Warehouse {
    Warehouse::new(&[("flights", &[flights()]), ("weather", &[flights()])]).await
}

const ALLOWED: &[&str] = &[
    "SELECT 1",
    "SELECT * FROM flights",
    "select Origin from FLIGHTS",
    "SELECT origin, avg(delay) AS d FROM flights GROUP BY origin HAVING count(*) > 1 ORDER BY d DESC LIMIT 1",
    "SELECT DISTINCT origin FROM flights",
    "SELECT DISTINCT ON (origin) origin, flight FROM flights ORDER BY origin, flight",
    "SELECT count(*), min(delay), max(delay), sum(flight) FILTER (WHERE month = 1) FROM flights",
    "WITH a AS (SELECT * FROM flights) SELECT count(*) FROM a",
    "WITH flights AS (SELECT flight FROM flights WHERE month = 1) SELECT count(*) FROM flights",
    "SELECT f.origin FROM flights f JOIN weather w ON f.flight = w.flight",
    "SELECT f.origin FROM flights f LEFT JOIN weather w USING (flight) WHERE w.flight IS NULL",
    "SELECT * FROM flights CROSS JOIN weather LIMIT 3",
    "SELECT origin FROM flights UNION ALL SELECT origin FROM weather",
    "SELECT origin FROM flights EXCEPT SELECT 'JFK'",
    "SELECT origin FROM flights INTERSECT SELECT 'JFK'",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT * FROM (VALUES (1), (2)) AS v(n)",
    "(SELECT 1)",
    "SELECT (SELECT max(delay) FROM weather), flight FROM flights",
    "SELECT * FROM flights WHERE flight IN (SELECT flight FROM weather WHERE month = 2)",
    "SELECT * FROM flights f WHERE EXISTS (SELECT 1 FROM weather w WHERE w.flight = f.flight)",
    "SELECT flight, row_number() OVER (PARTITION BY origin ORDER BY delay) FROM flights",
    "SELECT flight, lag(delay) OVER (ORDER BY flight), sum(delay) OVER (ORDER BY flight ROWS 2 PRECEDING) FROM flights",
    "SELECT CASE WHEN delay > 3 THEN 'late' ELSE 'ok' END, count(*) FROM flights GROUP BY 1",
    "SELECT origin, month, count(*) FROM flights GROUP BY ROLLUP (origin, month)",
    "SELECT upper(origin) || '-' || substr(origin, 1, 2) FROM flights WHERE origin LIKE 'J%'",
    "SELECT CAST(delay AS BIGINT) AS big, TRY_CAST(origin AS INT), delay::int AS whole FROM flights",
    "SELECT date_trunc('month', TIMESTAMP '2013-01-05 10:00:00'), extract(year FROM DATE '2013-01-05')",
    "SELECT date '2013-01-05' + interval '1 day', now() IS NOT NULL",
    "SELECT array_agg(flight ORDER BY flight) FROM flights",
    "SELECT [1, 2, 3][1], array_length([1, 2])",
    "SELECT unnest([1, 2, 3])",
    "SELECT x FROM unnest([1, 2]) AS t(x)",
    "SELECT {'a': 1}['a'], named_struct('b', 2)",
    "SELECT approx_distinct(origin), median(delay), stddev(delay), corr(delay, flight) FROM flights",
    "SELECT sha256(origin), encode('a', 'hex'), regexp_replace(origin, 'J', 'K') FROM flights",
    "SELECT flight FROM flights ORDER BY flight OFFSET 2 LIMIT 3;",
    "SELECT flight % 2, -delay, NOT (month = 1), month BETWEEN 1 AND 2 FROM flights -- a comment",
    "SELECT position('F' IN origin), trim(origin), overlay(origin PLACING 'x' FROM 1) FROM flights",
    "SELECT coalesce(NULL, 1), nullif(1, 1), greatest(1, 2)",
];

const REFUSED: &[(&str, ErrorCode)] = &[
    // Not a single read.
    ("", SqlRefused),
    (";", SqlRefused),
    ("SELEC 1", SqlRefused),
    ("SELECT 'open", SqlRefused),
    ("SELECT 1; SELECT 2", SqlRefused),
    ("SELECT 1; DROP TABLE flights", SqlRefused),
    ("INSERT INTO flights VALUES (1, 'x', 1.0, 1)", SqlRefused),
    ("UPDATE flights SET delay = 0", SqlRefused),
    ("DELETE FROM flights", SqlRefused),
    ("MERGE INTO flights USING weather ON true WHEN MATCHED THEN DELETE", SqlRefused),
    ("TRUNCATE TABLE flights", SqlRefused),
    ("CREATE TABLE t AS SELECT 1", SqlRefused),
    ("CREATE VIEW v AS SELECT 1", SqlRefused),
    ("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc/passwd'", SqlRefused),
    ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'http://169.254.169.254/'", SqlRefused),
    ("CREATE FUNCTION f() RETURNS INT RETURN 1", SqlRefused),
    ("CREATE SCHEMA s", SqlRefused),
    ("CREATE DATABASE d", SqlRefused),
    ("DROP TABLE flights", SqlRefused),
    ("DROP FUNCTION abs", SqlRefused),
    ("ALTER TABLE flights ADD COLUMN x INT", SqlRefused),
    ("COPY flights TO '/tmp/x.parquet'", SqlRefused),
    ("COPY (SELECT 1) TO 's3://bucket/x.csv' STORED AS CSV", SqlRefused),
    ("EXPLAIN SELECT * FROM flights", SqlRefused),
    ("EXPLAIN ANALYZE SELECT * FROM flights", SqlRefused),
    ("EXPLAIN VERBOSE SELECT 1", SqlRefused),
    ("SHOW TABLES", SqlRefused),
    ("SHOW ALL", SqlRefused),
    ("SHOW COLUMNS FROM flights", SqlRefused),
    ("SHOW FUNCTIONS", SqlRefused),
    ("SHOW CREATE TABLE flights", SqlRefused),
    ("DESCRIBE flights", SqlRefused),
    ("SET datafusion.execution.batch_size = 1", SqlRefused),
    ("SET datafusion.catalog.information_schema = true", SqlRefused),
    ("RESET datafusion.execution.batch_size", SqlRefused),
    ("PREPARE p AS SELECT 1", SqlRefused),
    ("EXECUTE p", SqlRefused),
    ("DEALLOCATE p", SqlRefused),
    ("BEGIN", SqlRefused),
    ("COMMIT", SqlRefused),
    ("USE other", SqlRefused),
    ("ANALYZE TABLE flights", SqlRefused),
    ("VACUUM", SqlRefused),
    // Reads that are more than that.
    ("SELECT * INTO t FROM flights", SqlRefused),
    ("SELECT * FROM flights FOR UPDATE", SqlRefused),
    ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r", SqlRefused),
    ("WITH x AS (INSERT INTO flights VALUES (1) RETURNING 1) SELECT * FROM x", SqlRefused),
    ("WITH x AS (DELETE FROM flights RETURNING 1) SELECT * FROM x", SqlRefused),
    ("TABLE flights", SqlRefused),
    ("SELECT * FROM flights WHERE flight = $1", SqlRefused),
    ("SELECT * FROM flights WHERE flight = ?", SqlRefused),
    ("SELECT @@version", SqlRefused),
    ("SELECT * FROM flights TABLESAMPLE BERNOULLI (10)", SqlRefused),
    ("SELECT * FROM flights |> WHERE month = 1", SqlRefused),
    // Table functions.
    ("SELECT * FROM generate_series(1, 1000000000)", SqlRefused),
    ("SELECT * FROM range(1, 1000000000)", SqlRefused),
    ("SELECT * FROM read_parquet('/etc/passwd')", SqlRefused),
    ("SELECT * FROM parquet_metadata('/etc/passwd')", SqlRefused),
    ("SELECT * FROM TABLE(generate_series(1, 3))", SqlRefused),
    ("SELECT * FROM LATERAL range(1, 3)", SqlRefused),
    // Tables that are not granted, whether or not they exist.
    ("SELECT * FROM secrets", Forbidden),
    ("SELECT * FROM flights, secrets", Forbidden),
    ("SELECT (SELECT max(x) FROM secrets) FROM flights", Forbidden),
    ("SELECT * FROM flights WHERE EXISTS (SELECT 1 FROM secrets)", Forbidden),
    ("WITH s AS (SELECT * FROM secrets) SELECT * FROM s", Forbidden),
    ("WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets", Forbidden),
    ("SELECT * FROM \"Flights\"", Forbidden),
    ("SELECT * FROM granted.flights", Forbidden),
    ("SELECT * FROM trace.granted.flights", Forbidden),
    ("SELECT * FROM rival.flights", Forbidden),
    ("SELECT * FROM information_schema.tables", Forbidden),
    ("SELECT * FROM information_schema.df_settings", Forbidden),
    ("SELECT * FROM pg_catalog.pg_tables", Forbidden),
    ("SELECT * FROM '/etc/passwd'", Forbidden),
    ("SELECT * FROM 'x.parquet'", Forbidden),
    ("SELECT * FROM 'file:///etc/passwd'", Forbidden),
    ("SELECT * FROM \"s3://trace/data/o2/x.parquet\"", Forbidden),
    ("SELECT * FROM 'http://169.254.169.254/latest.csv'", Forbidden),
    ("SELECT * FROM x.parquet", Forbidden),
    // Functions that are not on the list.
    ("SELECT repeat('x', 1000000000)", SqlRefused),
    ("SELECT lpad('x', 1000000000)", SqlRefused),
    ("SELECT rpad('x', 1000000000, 'y')", SqlRefused),
    ("SELECT range(1, 1000000000)", SqlRefused),
    ("SELECT generate_series(1, 1000000000)", SqlRefused),
    ("SELECT unnest(range(0, 1000000000))", SqlRefused),
    ("SELECT array_repeat(1, 1000000000)", SqlRefused),
    ("SELECT array_resize([1], 1000000000)", SqlRefused),
    ("SELECT random()", SqlRefused),
    ("SELECT uuid()", SqlRefused),
    ("SELECT version()", SqlRefused),
    ("SELECT current_setting('x')", SqlRefused),
    ("SELECT pg_read_file('/etc/passwd')", SqlRefused),
    ("SELECT flight FROM flights WHERE pg_sleep(1)", SqlRefused),
    ("SELECT input_file_name() FROM flights", SqlRefused),
    ("SELECT file_row_index() FROM flights", SqlRefused),
    ("SELECT array_transform([1], x -> x + 1)", SqlRefused),
    // Allowed to ask, and wrong.
    ("SELECT nothing FROM flights", SqlFailed),
    ("SELECT origin + 1 FROM flights", SqlFailed),
    ("SELECT 1 / 0", SqlFailed),
];

#[tokio::test]
async fn plain_reads_pass() {
    let warehouse = warehouse().await;
    for sql in ALLOWED {
        let verdict = warehouse.ask(sql).await;
        assert!(verdict.is_ok(), "{sql}\n{verdict:?}");
    }
}

#[tokio::test]
async fn everything_else_is_refused() {
    let warehouse = warehouse().await;
    for (sql, expected) in REFUSED {
        match warehouse.ask(sql).await {
            Err((code, detail)) => assert_eq!(code, *expected, "{sql}\n{detail}"),
            Ok(rows) => panic!("{sql} must be refused, and answered {rows}"),
        }
    }
}

#[tokio::test]
async fn size_and_depth_are_bounded_with_a_clear_error() {
    let warehouse = warehouse().await;
    let chain = |count: usize, sign: &str| vec!["1"; count].join(sign);
    let bombs = [
        format!("SELECT {}", "(".repeat(5_000)),
        format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000)),
        format!("SELECT {}", chain(4_000, "+")),
        format!("SELECT {}", chain(20_000, "+")),
        format!("SELECT {}", "- ".repeat(4_000) + "1"),
        format!("SELECT {}", "NOT ".repeat(4_000) + "true"),
        format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(300)),
        format!("SELECT * FROM flights {}", "CROSS JOIN flights ".repeat(100)),
        format!("SELECT '{}'", "x".repeat(70_000)),
        "SELECT ".to_owned() + &"[".repeat(500) + &"]".repeat(500),
        "SELECT ".to_owned() + &"CASE WHEN true THEN ".repeat(500) + "1" + &" END".repeat(500),
        doubling(12),
    ];
    for bomb in bombs {
        let (code, detail) = warehouse.ask(&bomb).await.expect_err(&bomb[..bomb.len().min(80)]);
        assert_eq!(code, SqlRefused, "{detail}");
        assert!(detail.len() < 1_100, "the error does not repeat the text: {detail}");
    }
}

/// Common table expressions that each use the one before twice.
fn doubling(steps: usize) -> String {
    let step = |n: usize| format!("a{n} AS (SELECT x.n FROM a{m} x JOIN a{m} y ON x.n = y.n)", m = n - 1);
    let steps: Vec<_> = (1..=steps).map(step).collect();
    format!("WITH a0 AS (SELECT 1 AS n), {} SELECT count(*) FROM a{}", steps.join(", "), steps.len())
}

#[tokio::test]
async fn a_denied_table_reads_the_same_whether_or_not_it_exists() {
    let warehouse = warehouse().await;
    let (_, detail) = warehouse.ask("SELECT * FROM secrets").await.unwrap_err();
    assert_eq!(detail, "table `secrets` is not among the datasets of this token: flights, weather");
    let nothing = Warehouse::new(&[]).await;
    let (_, detail) = nothing.ask("SELECT * FROM flights").await.unwrap_err();
    assert_eq!(detail, "table `flights` is not among the datasets of this token: none");
}

#[tokio::test]
async fn a_refused_function_is_named() {
    let (_, detail) = warehouse().await.ask("SELECT repeat('x', 9)").await.unwrap_err();
    assert!(detail.starts_with("function `repeat` is not allowed"), "{detail}");
}
