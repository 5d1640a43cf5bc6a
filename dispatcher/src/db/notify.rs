//! News to every dispatcher, delivered when the transaction commits.

use sqlx::PgConnection;
use trace_contracts::AttemptId;

use super::Error;

/// What news are about; also the channel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Tasks are ready.
    Ready,
    /// A task will be ready later.
    Later,
    /// Attempts are over. The payload lists them.
    Ended,
    /// Attempts are about to end; their authority is over. The payload lists them.
    Cut,
    /// An attempt has new log lines. The payload names it.
    Logs,
    /// Keys, users or workers have got or lost authority.
    Authority,
    /// Deliveries are due, or a receiver has room for more.
    Deliveries,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ready, Self::Later, Self::Ended, Self::Cut, Self::Logs, Self::Authority, Self::Deliveries];

    /// The channel's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "trace_ready",
            Self::Later => "trace_later",
            Self::Ended => "trace_ended",
            Self::Cut => "trace_cut",
            Self::Logs => "trace_logs",
            Self::Authority => "trace_authority",
            Self::Deliveries => "trace_deliveries",
        }
    }
}

/// A payload has less than 8,000 bytes; an id has at most 19 digits and a comma.
pub(super) const IDS_PER_PAYLOAD: usize = 390;

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What it is about.
    pub channel: Channel,
    /// What else there is to say.
    pub payload: String,
}

impl News {
    /// News that need no more words.
    #[must_use]
    pub const fn plain(channel: Channel) -> Self {
        Self { channel, payload: String::new() }
    }

    /// News of attempts: as many as it takes to name all of them.
    pub fn of(channel: Channel, attempts: &[AttemptId]) -> impl Iterator<Item = Self> {
        attempts.chunks(IDS_PER_PAYLOAD).map(move |some| Self { channel, payload: payload(some) })
    }
}

/// Sends news without a payload.
///
/// # Errors
/// When the database fails.
pub async fn send(conn: &mut PgConnection, channel: Channel) -> Result<(), Error> {
    sqlx::query!("-- notify::send\nselect pg_notify($1, '')", channel.as_str()).execute(conn).await?;
    Ok(())
}

/// Sends news of attempts.
///
/// # Errors
/// When the database fails.
pub async fn send_attempts(
    conn: &mut PgConnection,
    channel: Channel,
    attempts: &[AttemptId],
) -> Result<(), Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    let payloads: Vec<String> = attempts.chunks(IDS_PER_PAYLOAD).map(payload).collect();
    sqlx::query!(
        "-- notify::send_attempts\nselect pg_notify($1, payload) from unnest($2::text[]) as p(payload)",
        channel.as_str(),
        &payloads
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn payload(attempts: &[AttemptId]) -> String {
    attempts.iter().map(|attempt| attempt.get().to_string()).collect::<Vec<_>>().join(",")
}

/// The attempts of a payload; what is not a number is left out.
#[must_use]
pub fn read_attempts(unverified: &str) -> Vec<AttemptId> {
    unverified.split(',').filter_map(|number| number.parse().ok()).filter_map(AttemptId::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_back_and_fit() {
        let attempts: Vec<AttemptId> = (0..390).filter_map(|n| AttemptId::new(i64::MAX - n)).collect();
        let text = payload(&attempts);
        assert!(text.len() < 8000, "{}", text.len());
        assert_eq!(read_attempts(&text), attempts);
        assert_eq!(read_attempts("x,,-3,7"), [AttemptId::from_db(7)]);
    }
}
