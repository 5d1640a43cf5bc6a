//! What a real PostgreSQL writes is read as what it was told.

use sqlx::{Connection, Executor, PgConnection};
use trace_model::{
    id::Time,
    judge::Settings,
    replay::{
        Error, create_slot,
        decode::{Column, Line, Operation, Value, line},
        drop_slot, replay_slot,
    },
};

use crate::postgres::fresh_database;

/// Values that are hard to tell from the text around them.
const TABLE: &str = r#"create table "odd ""name" (
    id bigint primary key, note text, "a b[]" text[], numbers bigint[], body bytea, at timestamptz,
    flag boolean, amount numeric, doc jsonb, token uuid)"#;

const INSERT: &str = r#"insert into "odd ""name" values (1, 'it''s a "test"' || chr(10) || 'COMMIT 1',
    '{"x y","q\"z"}', '{1,2}', '\x0102', '2026-11-22 10:42:09.85+00', true, -1.5,
    '{"a": "it''s"}', '00000000-0000-0000-0000-0000000000ff'), (2, null, null, null, null, null, null, null, null, null)"#;

async fn lines(conn: &mut PgConnection, slot: &str) -> Vec<String> {
    let sql = "select data from pg_logical_slot_get_changes($1, null, null, 'include-timestamp', '1')";
    sqlx::query_scalar(sql).bind(slot).fetch_all(conn).await.unwrap()
}

/// What was done, to which table, and the columns with their values.
type Shown = (Operation, String, Vec<(String, String)>);

fn changes(lines: &[String]) -> Vec<Shown> {
    let mut found = Vec::new();
    for text in lines {
        let Line::Change(raw) = line(text).unwrap() else { continue };
        let shown = |column: &Column<'_>| {
            let value = match &column.value {
                Value::Null => "(null)".to_owned(),
                Value::Unchanged => "(unchanged)".to_owned(),
                Value::Text(text) => text.to_string(),
            };
            (column.name.to_string(), value)
        };
        let columns = raw.columns().unwrap();
        found.push((raw.operation, raw.table.to_string(), columns.row.iter().map(shown).collect()));
    }
    found
}

#[tokio::test]
async fn every_kind_of_value_comes_through() {
    let url = fresh_database().await;
    let slot = slot_name(&url);
    let mut conn = PgConnection::connect(&url).await.unwrap();
    conn.execute("set timezone = 'utc'").await.unwrap();
    conn.execute(TABLE).await.unwrap();
    create_slot(&url, &slot).await.unwrap();
    conn.execute(INSERT).await.unwrap();
    conn.execute(r#"update "odd ""name" set body = (select string_agg(sha256(n::text::bytea), '') from generate_series(1, 400) n) where id = 1"#)
        .await
        .unwrap();
    conn.execute(r#"update "odd ""name" set flag = false where id = 1"#).await.unwrap();
    conn.execute(r#"delete from "odd ""name" where id = 2"#).await.unwrap();
    let lines = lines(&mut conn, &slot).await;
    let changes = changes(&lines);
    assert!(changes.iter().all(|(_, table, _)| table == "odd \"name"));
    let of = |n: usize| {
        changes[n].2.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>()
    };
    let expected = [
        ("id", "1"),
        ("note", "it's a \"test\"\nCOMMIT 1"),
        ("a b[]", "{\"x y\",\"q\\\"z\"}"),
        ("numbers", "{1,2}"),
        ("body", "\\x0102"),
        ("at", "2026-11-22 10:42:09.85+00"),
        ("flag", "true"),
        ("amount", "-1.5"),
        ("doc", "{\"a\": \"it's\"}"),
        ("token", "00000000-0000-0000-0000-0000000000ff"),
    ];
    assert_eq!(of(0), expected);
    assert_eq!(of(1)[1..3], [("note", "(null)"), ("a b[]", "(null)")]);
    assert_eq!((of(3)[4], of(3)[6]), (("body", "(unchanged)"), ("flag", "false")));
    assert_eq!((changes[4].0, of(4)), (Operation::Delete, vec![("id", "2")]));
    assert!(matches!(line(lines.last().unwrap()), Ok(Line::Commit(_, Some(Time(at)))) if at > 0));
    drop_slot(&url, &slot).await.unwrap();
}

#[tokio::test]
async fn a_table_of_the_platform_that_is_emptied_stops_the_replay() {
    let url = fresh_database().await;
    let slot = slot_name(&url);
    let mut conn = PgConnection::connect(&url).await.unwrap();
    conn.execute("create table ready (task_id bigint primary key); create table other (n bigint)")
        .await
        .unwrap();
    create_slot(&url, &slot).await.unwrap();
    conn.execute("truncate other").await.unwrap();
    conn.execute("truncate other, ready").await.unwrap();
    let error = replay_slot(&url, &slot, Settings::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    drop_slot(&url, &slot).await.unwrap();
}

/// Slots belong to the whole server, databases to a test: the one's name serves for the other.
fn slot_name(url: &str) -> String {
    let address = url.split('?').next().unwrap();
    address.rsplit('/').next().unwrap().to_owned()
}
