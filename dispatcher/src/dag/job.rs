//! One job: what runs, with which files, within which bounds.

use std::collections::BTreeMap;

use trace_contracts::{
    EgressGrant, Name,
    wire::worker::{Blob, Code, Resources},
};

use super::{
    bounds,
    decode::{Leaf, Located, Record as _, exactly_one},
    egress::{self, EgressUse},
    findings::Findings,
    leaf::RelativePath,
    quantity::{Bytes, Count, shown_bytes, shown_millis},
    raw::{RawJob, RawRate, RawResources, RawRetries},
    spec::{JobLimits, Rate, Retries},
    suggest::did_you_mean,
    uploads::{Content, Uploads},
};

/// The parts of a job that do not depend on other jobs.
#[derive(Debug)]
pub struct Own {
    /// What runs.
    pub code: Code,
    /// Files by name.
    pub files: BTreeMap<Name, Blob>,
    /// Bounds of each attempt.
    pub resources: Resources,
    /// Wall-clock time of each attempt.
    pub timeout_ms: u64,
    /// What happens after a failure.
    pub retries: Retries,
    /// What holds its tasks back, and which go first.
    pub limits: JobLimits,
    /// What it reaches outside.
    pub egress: Vec<EgressGrant>,
}

/// Reads the parts of a job that do not depend on other jobs; `None` when something is wrong.
pub fn own(
    job: &RawJob,
    dag_priority: i16,
    operators: &[Name],
    uploads: &mut Uploads<'_>,
    reached: &mut Vec<EgressUse>,
    findings: &mut Findings,
) -> Option<Own> {
    let code = code(job, operators, uploads, findings);
    let files = files(job, uploads, findings);
    let resources = resources(job.resources.as_ref(), findings);
    let timeout_ms = bounded(
        job.timeout.as_ref().map(|timeout| (timeout, timeout.value.0)),
        bounds::TIMEOUT_MS,
        bounds::TIMEOUT_DEFAULT_MS,
        shown_millis,
        findings,
    );
    let retries = retries(job.retries.as_ref(), findings);
    let limits = limits(job, dag_priority, findings);
    let egress = egress::resolve(job, reached, findings);
    Some(Own { code: code?, files: files?, resources, timeout_ms, retries, limits, egress: egress? })
}

/// The names of a trusted job's secrets, each once.
fn secrets(job: &RawJob, findings: &mut Findings) -> Option<Vec<Name>> {
    let Some(list) = &job.secrets else {
        return (!job.gives("secrets")).then(Vec::new);
    };
    if list.written > bounds::MAX_SECRETS {
        findings.push(&list.place, format!("a job has at most {} secrets", bounds::MAX_SECRETS));
        return None;
    }
    let mut names = Vec::with_capacity(list.items.len());
    for declared in &list.items {
        if names.contains(&declared.value) {
            findings.push(&declared.place, format!("`{}` is there twice", declared.value));
        } else {
            names.push(declared.value.clone());
        }
    }
    Some(names)
}

/// Untrusted code gets none: what it can read, it can send wherever it may write.
fn refuse_secrets(job: &RawJob, findings: &mut Findings) {
    for declared in job.secrets.iter().flat_map(|list| &list.items) {
        let why = "secrets are for trusted operators only, never for a function of yours: leave `secrets` empty, and \
                   let an operator fetch what needs a secret";
        findings.push(&declared.place, format!("`{}`: {why}", declared.value));
    }
}

fn code(
    job: &RawJob,
    operators: &[Name],
    uploads: &mut Uploads<'_>,
    findings: &mut Findings,
) -> Option<Code> {
    match exactly_one(job, &["operator", "udf"], findings)? {
        "operator" => {
            let config = config(job, findings);
            let operator = job.operator.as_ref()?;
            if !operators.contains(&operator.value) {
                let names = operators.iter().map(|name| &**name);
                let hint = did_you_mean(&operator.value, names.clone());
                let all = super::suggest::listed(names);
                let message = format!("there is no operator `{}`{hint}: there are {all}", operator.value);
                findings.push(&operator.place, message);
            }
            let secrets = secrets(job, findings);
            Some(Code::Operator { operator: operator.value.clone(), config: config?, secrets: secrets? })
        }
        _ => {
            if let Some(with) = &job.with {
                findings.push(&with.place, "`with` sets up an operator; a function of yours reads `params`");
            }
            refuse_secrets(job, findings);
            let udf = job.udf.as_ref()?;
            let language = udf.language.as_ref().map(|language| language.value);
            let content = Content::Bundle(language);
            let bundle = udf.path.as_ref().and_then(|path| uploads.take(path, content, findings));
            Some(Code::Udf { language: language?, bundle: bundle? })
        }
    }
}

fn config(job: &RawJob, findings: &mut Findings) -> Option<serde_json::Value> {
    let entries = job.with.iter().flat_map(|with| &with.entries);
    let config: serde_json::Map<String, serde_json::Value> =
        entries.map(|(key, value)| (key.value.to_string(), value.value.0.clone())).collect();
    let config = serde_json::Value::Object(config);
    if let Some(with) = &job.with
        && config.to_string().len() > bounds::MAX_CONFIG_BYTES
    {
        let most = shown_bytes(bounds::MAX_CONFIG_BYTES as u64);
        findings.push(&with.place, format!("settings have at most {most}: move data into `files`"));
        return None;
    }
    Some(config)
}

fn files(job: &RawJob, uploads: &mut Uploads<'_>, findings: &mut Findings) -> Option<BTreeMap<Name, Blob>> {
    let Some(files) = &job.files else {
        return (!job.gives("files")).then(BTreeMap::new);
    };
    if files.entries.len() > bounds::MAX_FILES {
        findings.push(&files.place, format!("a job has at most {} files", bounds::MAX_FILES));
        return None;
    }
    let taken: Vec<Option<(Name, Blob)>> = files
        .entries
        .iter()
        .map(|(name, path)| Some((name.value.clone(), uploads.take(path, Content::File, findings)?)))
        .collect();
    taken.into_iter().collect()
}

fn resources(raw: Option<&RawResources>, findings: &mut Findings) -> Resources {
    let bytes = |located: &'_ Option<Located<Bytes>>| located.as_ref().map(|bytes| bytes.value.0);
    let Some(raw) = raw else { return bounds::RESOURCES };
    let cpu = raw.cpu.as_ref().map(|cpu| (cpu, cpu.value.0));
    let memory = raw.memory.as_ref().zip(bytes(&raw.memory));
    let disk = raw.disk.as_ref().zip(bytes(&raw.disk));
    let default = bounds::RESOURCES;
    Resources {
        cpu_millis: bounded(cpu, bounds::CPU_MILLIS, default.cpu_millis, shown_cores, findings),
        memory_bytes: bounded(memory, bounds::MEMORY_BYTES, default.memory_bytes, shown_bytes, findings),
        disk_bytes: bounded(disk, bounds::DISK_BYTES, default.disk_bytes, shown_bytes, findings),
    }
}

fn shown_cores(millis: u32) -> String {
    format!("{}", f64::from(millis) / 1000.0)
}

fn retries(raw: Option<&RawRetries>, findings: &mut Findings) -> Retries {
    let Some(raw) = raw else { return bounds::RETRIES };
    let max = raw.max.as_ref().map(|max| (max, max.value.0));
    let backoff = raw.backoff.as_ref().map(|backoff| (backoff, backoff.value.0));
    let default = bounds::RETRIES;
    Retries {
        max: bounded(max, (0, bounds::MAX_RETRIES), default.max, |max| max.to_string(), findings),
        backoff_ms: bounded(backoff, bounds::BACKOFF_MS, default.backoff_ms, shown_millis, findings),
    }
}

fn limits(job: &RawJob, dag_priority: i16, findings: &mut Findings) -> JobLimits {
    JobLimits {
        concurrency: concurrency(job.concurrency.as_ref(), findings),
        rate: job.rate.as_ref().and_then(|rate| self::rate(rate, findings)),
        priority: job.priority.as_ref().map_or(dag_priority, |priority| priority.value.0),
    }
}

/// Tasks at once, of a DAG or a job.
pub fn concurrency(given: Option<&Located<Count>>, findings: &mut Findings) -> Option<u32> {
    let count = given?;
    let checked = Some((count, count.value.0));
    Some(bounded(checked, bounds::CONCURRENCY, count.value.0, |count| count.to_string(), findings))
}

fn rate(raw: &RawRate, findings: &mut Findings) -> Option<Rate> {
    let tasks = raw.tasks.as_ref()?;
    let checked = Some((tasks, tasks.value.0));
    let tasks = bounded(checked, bounds::RATE_TASKS, tasks.value.0, |tasks| tasks.to_string(), findings);
    Some(Rate { tasks, per: raw.per.as_ref()?.value })
}

/// The value if there is one, else the default; reports a value outside the bounds.
pub fn bounded<T: Leaf, N: Copy + PartialOrd>(
    given: Option<(&Located<T>, N)>,
    (least, most): (N, N),
    default: N,
    shown: impl Fn(N) -> String,
    findings: &mut Findings,
) -> N {
    let Some((located, value)) = given else { return default };
    if value < least || value > most {
        let message = format!("{} is out of bounds: use {} to {}", shown(value), shown(least), shown(most));
        findings.push(&located.place, message);
    }
    value
}

/// A path as the upload's key.
impl AsRef<str> for RelativePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
