//! Reading a logical replication slot.

use sqlx::{Connection, PgConnection};

use super::{Error, Reader, Replay, Report};
use crate::judge::Settings;

/// Changes that are fetched at once; a transaction is never cut in two.
const PAGE: i32 = 10_000;

/// Makes a slot from which everything can be read that commits from now on.
///
/// # Errors
/// When the server does not log what a slot needs (`wal_level = logical`), or has such a slot.
pub async fn create_slot(database_url: &str, slot: &str) -> Result<(), Error> {
    let mut conn = PgConnection::connect(database_url).await?;
    sqlx::query(
        "-- replay::create_slot
        select pg_create_logical_replication_slot($1, 'test_decoding')",
    )
    .bind(slot)
    .execute(&mut conn)
    .await?;
    Ok(conn.close().await?)
}

/// Removes a slot.
///
/// # Errors
/// When there is no such slot, or it is being read.
pub async fn drop_slot(database_url: &str, slot: &str) -> Result<(), Error> {
    let mut conn = PgConnection::connect(database_url).await?;
    sqlx::query("-- replay::drop_slot\nselect pg_drop_replication_slot($1)")
        .bind(slot)
        .execute(&mut conn)
        .await?;
    Ok(conn.close().await?)
}

/// Replays everything that committed since the slot was made or last read, from an empty database on,
/// and takes it off the slot.
///
/// # Errors
/// The first transaction that is not allowed; or when the log can't be read.
pub async fn replay_slot(database_url: &str, slot: &str, settings: Settings) -> Result<Report, Error> {
    let mut replay = Replay::new(settings);
    read_slot(database_url, slot, |text, reader| {
        reader.line(text)?.map_or(Ok(()), |tx| replay.transaction(tx))
    })
    .await?;
    replay.finish()
}

async fn read_slot(
    database_url: &str,
    slot: &str,
    mut each: impl FnMut(&str, &mut Reader) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut conn = PgConnection::connect(database_url).await?;
    // Times are written as this session likes them.
    sqlx::query(
        "-- replay::settings
        select set_config('datestyle', 'iso', false), set_config('timezone', 'utc', false)",
    )
    .execute(&mut conn)
    .await?;
    let mut reader = Reader::default();
    loop {
        let lines: Vec<String> = sqlx::query_scalar(
            "-- replay::changes
            select data from pg_logical_slot_get_changes($1, null, $2, 'include-timestamp', '1')",
        )
        .bind(slot)
        .bind(PAGE)
        .fetch_all(&mut conn)
        .await?;
        if lines.is_empty() {
            return Ok(conn.close().await?);
        }
        lines.iter().try_for_each(|text| each(text, &mut reader))?;
    }
}
