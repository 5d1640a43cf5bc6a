//! What the code of a task does. Compiled into the UDF as well as into the harness: a task's own key
//! says how often it fails, so that its end is known beforehand.

/// The output's name.
pub const OUTPUT: &str = "part-0.bin";

/// The digit for a task that fails every time.
pub const DOOMED: u8 = 9;

/// What one try of a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// How long it takes, in milliseconds.
    pub takes_ms: u64,
    /// Whether it ends with status 3 instead of 0.
    pub fails: Fails,
}

/// How a try ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// With an output.
    No,
    /// With a status.
    Yes,
}

/// What try number `failures` (those before it that count) of this task does. A key such as
/// `p0012-0130` holds one digit a job of its family: how often that job's task fails before it
/// succeeds.
#[must_use]
pub fn behaviour(job: &str, partition: &str, failures: u32) -> Behaviour {
    let due = failures_due(job, partition);
    let fails = if due == DOOMED || failures < u32::from(due) { Fails::Yes } else { Fails::No };
    let number: u64 = partition.get(1..5).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    // A few take so long that they live from their heartbeats.
    let takes_ms = if job == "b" && number % 40 == 7 { 1_500 } else { 0 };
    Behaviour { takes_ms, fails }
}

/// How often this task fails before it succeeds; [`DOOMED`]: always.
#[must_use]
pub fn failures_due(job: &str, partition: &str) -> u8 {
    let place = match job {
        "a" | "d" => 0,
        "b" | "e" => 1,
        "c" => 2,
        _ => return 0,
    };
    let digits = partition.split_once('-').map_or("", |(_, digits)| digits);
    digits.as_bytes().get(place).map_or(0, |digit| digit.wrapping_sub(b'0'))
}

/// What it writes: unlike that of any other task or attempt.
#[must_use]
pub fn content(job: &str, partition: &str, attempt: &str) -> String {
    format!("{job} {partition} {attempt}\n")
}
