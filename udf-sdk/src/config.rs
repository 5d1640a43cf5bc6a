//! The environment of a task, read once.

use std::{
    env,
    path::PathBuf,
    str::FromStr,
    time::{Duration, SystemTime},
};

use crate::{Error, Result, Secret};

/// What the platform tells a task about itself.
pub struct Config {
    /// The dispatcher; absent in a local test.
    pub dispatcher: Option<Dispatcher>,
    /// The query service; absent for a task that has no way to one.
    pub query_url: Option<String>,
    pub output_dir: PathBuf,
    pub files_dir: PathBuf,
    /// Where a local test has its inputs.
    pub local_inputs: Option<PathBuf>,
    pub temp_dir: PathBuf,
    pub writer: PathBuf,
    pub deadline: Option<SystemTime>,
    pub ids: Ids,
}

/// The dispatcher's task API, with the capability that it takes.
pub struct Dispatcher {
    pub url: String,
    pub capability: Secret,
}

/// Who the task is; empty texts in a local test that does not say.
pub struct Ids {
    pub org: String,
    pub run: String,
    pub task: String,
    pub attempt: String,
    pub dag: String,
    pub job: String,
    pub partition: String,
    pub failures: u32,
}

/// The variables of a task.
pub struct Variables<F>(pub F);

/// The variables of this process.
#[expect(clippy::disallowed_methods, reason = "the one place where the SDK reads its environment")]
pub fn of_process(name: &str) -> Option<String> {
    env::var(name).ok()
}

impl Config {
    /// Reads what the platform says; a variable without content counts as absent.
    pub fn read<F: Fn(&str) -> Option<String>>(variables: &Variables<F>) -> Result<Self> {
        let dispatcher = match variables.get("TRACE_DISPATCHER_URL") {
            Some(url) => {
                let capability = Secret::new(variables.need("TRACE_TASK_CAPABILITY_TOKEN")?);
                Some(Dispatcher { url, capability })
            }
            None => None,
        };
        let path =
            |name, default: &str| PathBuf::from(variables.get(name).unwrap_or_else(|| default.to_owned()));
        Ok(Self {
            dispatcher,
            query_url: variables.get("TRACE_QUERY_URL"),
            output_dir: variables.need("TRACE_OUTPUT_DIR")?.into(),
            files_dir: path("TRACE_FILES_DIR", "/task/files"),
            local_inputs: variables.get("TRACE_LOCAL_INPUTS").map(PathBuf::from),
            temp_dir: path("TMPDIR", "/tmp"),
            writer: path("TRACE_NATIVE_WRITER", "/trace/bin/trace-udf-native"),
            deadline: variables
                .number("TRACE_DEADLINE_MS")?
                .map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis)),
            ids: Ids::read(variables)?,
        })
    }
}

impl Ids {
    fn read<F: Fn(&str) -> Option<String>>(variables: &Variables<F>) -> Result<Self> {
        let text = |name| variables.get(name).unwrap_or_default();
        Ok(Self {
            org: text("TRACE_ORG"),
            run: text("TRACE_RUN"),
            task: text("TRACE_TASK"),
            attempt: text("TRACE_ATTEMPT"),
            dag: text("TRACE_DAG"),
            job: text("TRACE_JOB"),
            partition: variables.get("TRACE_PARTITION").unwrap_or_else(|| "all".to_owned()),
            failures: variables.number("TRACE_FAILURES")?.unwrap_or(0),
        })
    }
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn get(&self, name: &'static str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn need(&self, name: &'static str) -> Result<String> {
        self.get(name).ok_or_else(|| Error::Environment { name, problem: "is not set".to_owned() })
    }

    fn number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>> {
        let parsed = self.get(name).map(|text| text.parse()).transpose();
        parsed.map_err(|_| Error::Environment { name, problem: "is not a number".to_owned() })
    }
}
