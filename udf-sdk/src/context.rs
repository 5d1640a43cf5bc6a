//! What a UDF can do.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use ureq::http::Method;

use crate::{
    Credentials, Error, Objects, Plane, Result,
    config::{Config, Variables},
    http::{Http, Request},
    renewal::Renewed,
    result,
    tokens::{Tokens, parse},
};

/// A row of whatever columns a query has.
pub type Row = serde_json::Map<String, Value>;

/// The attempt that this process is, and what it may do.
pub struct Context {
    pub(crate) config: Config,
    pub(crate) http: Http,
    /// Absent in a local test.
    pub(crate) tokens: Option<Tokens>,
    keys: Renewed<Credentials>,
    described: OnceCell<Description>,
}

/// What the dispatcher says of the task.
#[derive(Deserialize)]
struct Description {
    params: BTreeMap<String, Value>,
    inputs: Vec<String>,
}

impl Context {
    /// The context that some variables describe, for tests of a UDF: give `TRACE_OUTPUT_DIR` and whatever
    /// the UDF needs. [`run`](crate::run) reads the environment.
    ///
    /// # Errors
    /// [`Error::Environment`] names the variable that is missing or wrong.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut config = Config::read(&Variables(get))?;
        let http = Http::new(config.deadline);
        let tokens = config.dispatcher.take().map(Tokens::new);
        Ok(Self { config, http, tokens, keys: Renewed::new(), described: OnceCell::new() })
    }

    /// Runs one `SELECT` over the task's inputs, which are its tables, and reads the rows into `T` by
    /// column name: a struct of yours, or [`Row`].
    ///
    /// # Errors
    /// [`Error::Denied`] when the statement reaches beyond the inputs, [`Error::Failed`] when it fails,
    /// [`Error::Row`] when a row does not fit `T`.
    pub fn sql<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>> {
        result::rows(&self.query(sql, "json")?)
    }

    /// All rows of one input.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn read<T: DeserializeOwned>(&self, input: &str) -> Result<Vec<T>> {
        let plain = input.starts_with(|c: char| c.is_ascii_lowercase())
            && input.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !plain {
            return Err(Error::Name(input.to_owned()));
        }
        self.sql(&format!("SELECT * FROM {input}"))
    }

    pub(crate) fn query(&self, sql: &str, format: &str) -> Result<Vec<u8>> {
        let url = self.config.query_url.as_ref().ok_or_else(|| Error::Environment {
            name: "TRACE_QUERY_URL",
            problem: "is not set".to_owned(),
        })?;
        let token = self.tokens.as_ref().map(|tokens| tokens.query(&self.http)).transpose()?;
        let body = serde_json::json!({ "sql": sql, "format": format }).to_string();
        let answer = self.http.ask(&Request {
            plane: Plane::Query,
            method: Method::POST,
            url: format!("{url}/v1/task/query"),
            token: token.as_ref(),
            content_type: "application/json",
            body: body.as_bytes(),
        })?;
        Ok(answer.body)
    }

    /// Puts a line into the task's log.
    pub fn log(&self, line: impl Display) {
        println!("{line}");
    }

    /// Keys for the object store that reach what the task may read and write, and nothing else. They
    /// last for minutes and are renewed here in time: ask before each use, it costs nothing.
    ///
    /// # Errors
    /// [`Error::NoDispatcher`] in a local test.
    pub fn credentials(&self) -> Result<Credentials> {
        let tokens = self.tokens.as_ref().ok_or(Error::NoDispatcher("credentials"))?;
        self.keys.get(SystemTime::now(), || {
            let reply = tokens.ask(&self.http, Method::POST, "credentials", &[])?;
            let credentials: Credentials = parse(&reply.body)?;
            let end = credentials.end();
            Ok((credentials, end))
        })
    }

    /// A page of addresses of the inputs' objects that no session of [`credentials`](Self::credentials)
    /// reaches, from the key `from` on. They expire within minutes.
    ///
    /// # Errors
    /// [`Error::NoDispatcher`] in a local test.
    pub fn objects(&self, from: Option<&str>) -> Result<Objects> {
        let tokens = self.tokens.as_ref().ok_or(Error::NoDispatcher("objects"))?;
        let body = serde_json::json!({ "from": from }).to_string();
        parse(&tokens.ask(&self.http, Method::POST, "objects", body.as_bytes())?.body)
    }

    /// A parameter of the run; `None` when the DAG has none of that name. A local test has none at all.
    ///
    /// # Errors
    /// When it is not a `T`.
    pub fn param<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.describe()?.params.get(name) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|error| Error::Environment {
            name: "a parameter of the run",
            problem: format!("(`{name}`) has another type: {error}"),
        })
    }

    /// The names of the task's inputs.
    ///
    /// # Errors
    /// When the dispatcher does not answer.
    pub fn inputs(&self) -> Result<&[String]> {
        Ok(&self.describe()?.inputs)
    }

    fn describe(&self) -> Result<&Description> {
        if let Some(description) = self.described.get() {
            return Ok(description);
        }
        let description = match &self.tokens {
            Some(tokens) => parse(&tokens.ask(&self.http, Method::GET, "context", &[])?.body)?,
            None => Description { params: BTreeMap::new(), inputs: self.local_inputs()? },
        };
        Ok(self.described.get_or_init(|| description))
    }

    fn local_inputs(&self) -> Result<Vec<String>> {
        let Some(path) = &self.config.local_inputs else { return Ok(Vec::new()) };
        let failed = |source| Error::Io { path: path.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            names.extend(file.to_str().and_then(|name| name.strip_suffix(".parquet")).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Where the job's file of this name lies.
    ///
    /// # Errors
    /// [`Error::NoFile`] when the job has none.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        let path = self.config.files_dir.join(name);
        if !name.contains('/') && path.is_file() { Ok(path) } else { Err(Error::NoFile(name.to_owned())) }
    }

    /// The folder whose files become the task's output; for files that you write yourself.
    #[must_use]
    pub fn output_dir(&self) -> &Path {
        &self.config.output_dir
    }

    /// When the platform ends the attempt; `None` in a local test without a limit.
    #[must_use]
    pub const fn deadline(&self) -> Option<SystemTime> {
        self.config.deadline
    }

    /// Time left until the deadline; zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let left = |deadline: SystemTime| deadline.duration_since(SystemTime::now()).unwrap_or_default();
        self.config.deadline.map(left)
    }

    /// The partition, such as `2013-01`; `all` for a job without partitions.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.config.ids.partition
    }

    /// The org's id, such as `o1`.
    #[must_use]
    pub fn org(&self) -> &str {
        &self.config.ids.org
    }

    /// The DAG's name.
    #[must_use]
    pub fn dag(&self) -> &str {
        &self.config.ids.dag
    }

    /// The job's name.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.config.ids.job
    }

    /// The run's id, such as `r17`.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.config.ids.run
    }

    /// The task's id, such as `t17.3`.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.config.ids.task
    }

    /// The attempt's id, such as `a40`.
    #[must_use]
    pub fn attempt(&self) -> &str {
        &self.config.ids.attempt
    }

    /// How often the task failed before this attempt.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.config.ids.failures
    }
}
