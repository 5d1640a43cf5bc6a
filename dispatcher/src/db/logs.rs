//! `log_lines`, as workers write them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::wire::worker::{LogLine, LogStream};

use super::{Error, attempts::Current};

/// Bytes that an attempt has logged.
///
/// # Errors
/// When the database fails.
pub async fn logged_bytes(conn: &mut PgConnection, attempt: &Current) -> Result<u64, Error> {
    let bytes = sqlx::query_scalar!(
        r#"-- logs::logged_bytes
        select coalesce(sum(octet_length(text)), 0)::bigint as "bytes!" from log_lines where attempt_id = $1"#,
        attempt.attempt().get()
    )
    .fetch_one(conn)
    .await?;
    u64::try_from(bytes).map_err(|error| Error::corrupt("a log's size", error))
}

/// Appends lines, the first with number `first_seq`. Lines that are there already are dropped.
///
/// # Errors
/// When the database fails.
pub async fn append(
    conn: &mut PgConnection,
    attempt: &Current,
    first_seq: i64,
    lines: &[LogLine],
) -> Result<(), Error> {
    sqlx::query!(
        "-- logs::append
        insert into log_lines (attempt_id, seq, at, stream, text)
        select $1, $2 + l.n - 1, l.at, l.stream, l.text
        from unnest($3::timestamptz[], $4::text[], $5::text[]) with ordinality as l(at, stream, text, n)
        on conflict (attempt_id, seq) do nothing",
        attempt.attempt().get(),
        first_seq,
        &lines.iter().map(|line| line.at).collect::<Vec<DateTime<Utc>>>(),
        &lines.iter().map(|line| stream(line.stream).to_owned()).collect::<Vec<_>>(),
        &lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}

const fn stream(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::Platform => "platform",
    }
}
