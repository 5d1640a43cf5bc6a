//! What a caller asks for.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use trace_contracts::wire::worker::Resources;
use trace_surface::{
    forwarder::{Upstream, Way},
    proxy::{EgressTokens, Gateway},
    routes::{DISPATCHER, Inside, OBJECT_STORE, OUTSIDE, QUERY},
};

/// What holds for every launch of a wrapper.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The Python interpreter, or a shim that starts one; absent: `python3` on the search path.
    pub python: Option<PathBuf>,
    /// A folder that holds the package `trace_udf`, shown as `/trace/python`.
    pub sdk: Option<PathBuf>,
    /// Executables by the name that they are shown under (`/trace/bin/<name>`), with the shared
    /// libraries that they need.
    pub tools: BTreeMap<String, PathBuf>,
    /// Processes and threads that one task may have at a time.
    pub max_processes: u32,
    /// Files and folders that one task may have at a time in `/out` and `/tmp` together.
    pub max_files: u32,
    /// A control group (below the mount points of the hierarchies, such as `/trace`) to create the
    /// tasks' groups in; absent: the wrapper's own.
    pub cgroup_parent: Option<String>,
    /// Sandboxes that are prepared ahead for each kind of program that was launched before, 16 at most.
    pub spares: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            python: None,
            sdk: None,
            tools: BTreeMap::new(),
            max_processes: 64,
            max_files: 10_000,
            cgroup_parent: None,
            spares: 2,
        }
    }
}

/// One program and what it may have. Not `Debug`: the environment holds a capability token.
pub struct Confinement {
    /// What to run; its working folder is `/task/bundle`.
    pub program: Program,
    /// Shown read-only as `/task/bundle`; absent: that folder is empty.
    pub bundle: Option<PathBuf>,
    /// Shown read-only as `/task/files`; absent: that folder is empty.
    pub files: Option<PathBuf>,
    /// Shown read-only as `/task/inputs`; absent: that folder is empty.
    pub inputs: Option<PathBuf>,
    /// Added to the few variables that the sandbox sets itself, which can't be replaced.
    pub env: Vec<(String, String)>,
    /// Hard bounds.
    pub resources: Resources,
    /// Wall-clock time from now, after which everything inside is killed.
    pub timeout: Duration,
    /// What can be reached from inside.
    pub upstreams: Upstreams,
    /// What opens the egress gateway, for code that may reach something outside the platform.
    pub egress: Option<Arc<dyn EgressTokens>>,
}

/// What to run.
#[derive(Debug, Clone)]
pub enum Program {
    /// The interpreter with a file of the bundle such as `main.py`, or with `-c` and a program. It runs
    /// before it is told which: variables that it reads as it starts (`PYTHON…`) come too late.
    Python {
        /// After the interpreter itself.
        arguments: Vec<String>,
    },
    /// An executable by its path inside, such as `/task/bundle/main`.
    Executable {
        /// Absolute, as seen from inside.
        path: String,
        /// After the program itself.
        arguments: Vec<String>,
    },
}

/// The only addresses that can be reached from inside, each behind a loopback port of its own.
#[derive(Debug, Clone, Default)]
pub struct Upstreams {
    /// The dispatcher's listener for tasks; `TRACE_DISPATCHER_URL` inside.
    pub dispatcher: Option<Upstream>,
    /// The query service; `TRACE_QUERY_URL` inside.
    pub query: Option<Upstream>,
    /// The object store; `AWS_ENDPOINT_URL_S3` inside.
    pub object_store: Option<Upstream>,
    /// The egress gateway; `HTTPS_PROXY` and `HTTP_PROXY` inside. Only code that has tokens for it finds it.
    pub egress: Option<Upstream>,
}

/// One upstream as it is seen from inside.
pub(super) struct Route {
    /// Its variables, and the loopback port inside; the same in every sandbox, because each has a network of
    /// its own.
    pub inside: Inside,
    /// Where it leads.
    pub way: Way,
}

impl Confinement {
    /// What can be reached, as far as it is there. The way out is for those alone who have tokens for it.
    pub(super) fn routes(&self) -> Vec<Route> {
        let Upstreams { dispatcher, query, object_store, egress } = &self.upstreams;
        let bytes = |upstream: &Option<Upstream>| upstream.clone().map(Way::Bytes);
        let outside = egress.clone().zip(self.egress.clone());
        let outside = outside.map(|(upstream, tokens)| Way::Outside(Gateway { upstream, tokens }));
        [
            (DISPATCHER, bytes(dispatcher)),
            (QUERY, bytes(query)),
            (OBJECT_STORE, bytes(object_store)),
            (OUTSIDE, outside),
        ]
        .into_iter()
        .filter_map(|(inside, way)| Some(Route { inside, way: way? }))
        .collect()
    }
}
