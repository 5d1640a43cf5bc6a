//! `trace logs`.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use trace_contracts::{
    AttemptId, TaskId,
    wire::{
        user::{NumberedLogLine, TaskState},
        worker::LogStream,
    },
};

use super::{Error, connect::Connect};
use crate::{
    client::{Client, LogPosition},
    output::{self, Form, progress::Progress, text::printable},
};

const AFTER_HELP: &str = "\
Lines are marked with where they came from: out, err, or trace for the platform's own words.
With --follow, the log of the next attempt follows when one fails, until the task has ended.

Example:
  trace logs t17.3
  trace logs t17.3 --follow
  trace logs t17.3 --attempt a40 --json | jq -r '.lines[].text'";

/// How long one question waits for a new line; well within what the platform allows.
const WAIT_MS: u64 = 20_000;
/// How often to look for the next attempt.
const NEXT_ATTEMPT: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Logs {
    /// The task, such as t17.3
    task: TaskId,
    /// Print lines as they come, until the task has ended
    #[arg(long, short)]
    follow: bool,
    /// Of this attempt, such as a40; of the latest one without it
    #[arg(long)]
    attempt: Option<AttemptId>,
    #[command(flatten)]
    connect: Connect,
}

/// The JSON form.
#[derive(Debug, Default, Serialize)]
struct Document {
    task: Option<TaskId>,
    attempt: Option<AttemptId>,
    lines: Vec<NumberedLogLine>,
    done: bool,
}

/// How far the log has been read.
struct Reader {
    client: Client,
    logs: Logs,
    progress: Progress,
    attempt: Option<AttemptId>,
    after: Option<u64>,
    document: Document,
}

impl Logs {
    pub async fn run(self) -> Result<(), Error> {
        let mut reader = Reader {
            client: self.connect.client()?,
            progress: Progress::on_stderr(),
            attempt: self.attempt,
            after: None,
            document: Document { task: Some(self.task), ..Document::default() },
            logs: self,
        };
        if reader.logs.follow {
            reader.follow().await?
        } else {
            reader.read_to_end().await?
        }
        match reader.logs.connect.form() {
            Form::Json => Ok(output::json(&reader.document)?),
            Form::Table => Ok(()),
        }
    }
}

impl Reader {
    /// Everything that there is now.
    async fn read_to_end(&mut self) -> Result<(), Error> {
        while self.read(0).await? > 0 {}
        Ok(())
    }

    /// Everything that comes, of this attempt and of those that follow it.
    async fn follow(&mut self) -> Result<(), Error> {
        let mut ticks = interval(NEXT_ATTEMPT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.read(WAIT_MS).await?;
            let is_over = self.document.done && (self.logs.attempt.is_some() || self.has_ended().await?);
            if is_over {
                return Ok(());
            }
        }
    }

    /// Whether the attempt that was read is the task's last one; if not, reading goes on with the
    /// latest one.
    async fn has_ended(&mut self) -> Result<bool, Error> {
        let task = self.client.task(self.logs.task).await?;
        let latest = task.attempts.last().map(|attempt| attempt.attempt);
        if latest != self.attempt {
            (self.attempt, self.after) = (latest, None);
            return Ok(false);
        }
        Ok(matches!(
            task.state,
            TaskState::Succeeded | TaskState::Dead | TaskState::Cancelled | TaskState::Skipped
        ))
    }

    /// Reads once, and tells how many lines came.
    async fn read(&mut self, wait_ms: u64) -> Result<usize, Error> {
        let position = LogPosition { attempt: self.attempt, after: self.after, wait_ms };
        let reply = self.client.logs(self.logs.task, position).await?;
        if reply.attempt != self.document.attempt {
            self.introduce(reply.attempt);
        }
        self.attempt = reply.attempt;
        self.document.attempt = reply.attempt;
        self.document.done = reply.done;
        let count = reply.lines.len();
        self.after = reply.lines.last().map(|line| line.seq).or(self.after);
        self.take(reply.lines)?;
        Ok(count)
    }

    fn introduce(&self, attempt: Option<AttemptId>) {
        if let Some(attempt) = attempt {
            self.progress.tell(&format!("-- {} {attempt}", self.logs.task));
        }
    }

    fn take(&mut self, lines: Vec<NumberedLogLine>) -> Result<(), Error> {
        match self.logs.connect.form() {
            Form::Json => self.document.lines.extend(lines),
            Form::Table => lines.iter().try_for_each(|line| output::line(&shown(line)))?,
        }
        Ok(())
    }
}

fn shown(line: &NumberedLogLine) -> String {
    let stream = match line.stream {
        LogStream::Stdout => "out  ",
        LogStream::Stderr => "err  ",
        LogStream::Platform => "trace",
    };
    format!("{} {stream} {}", line.at.format("%H:%M:%S%.3f"), printable(&line.text))
}
