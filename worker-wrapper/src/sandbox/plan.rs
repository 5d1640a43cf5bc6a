//! Everything that the child needs, made ready before the copy.

use std::{
    ffi::{CString, c_char},
    ptr,
};

use trace_contracts::wire::worker::Resources;

use super::{
    Confinement, Error, Program, Runtime,
    confinement::Route,
    controls::{Protection, stands},
    descriptors::Kept,
    environment,
    landlock::{self, Inside, Rules},
    listeners::Ports,
    mounts::{Kind, Shown, Table, c_string, devices},
    namespaces::Identity,
    rlimits::{self, Limit},
    runtime::View,
    seccomp::Filter,
};

/// What probing found out, and every plan uses.
pub(super) struct Host {
    /// The interpreter.
    pub runtime: Runtime,
    /// `PYTHONPATH` inside.
    pub python_path: String,
    /// What a Python program sees of it.
    pub python: View,
    /// The SDK, and the tools with their libraries.
    pub tools: View,
    /// The system call filter.
    pub filter: std::sync::Arc<Filter>,
    /// What the kernel offers.
    pub landlock: landlock::Version,
    /// Processes and threads of one task.
    pub max_processes: u32,
    /// Files and folders of one task.
    pub max_files: u32,
}

/// A sandbox that can be started; consumed by doing so.
pub(super) struct Plan {
    /// The root folder.
    pub table: Table,
    /// Who the task is outside.
    pub identity: Identity,
    /// Loopback ports to listen on.
    pub ports: Ports,
    /// Resource limits.
    pub limits: Vec<Limit>,
    /// What the child adds to the Landlock ruleset.
    pub inside: Inside,
    /// The system call filter.
    pub filter: std::sync::Arc<Filter>,
    /// The program's path inside.
    pub program: CString,
    /// Its arguments and its environment.
    pub arguments: Strings,
    /// `NAME=value`.
    pub environment: Strings,
    /// The descriptors that the child keeps; the ruleset is among them.
    pub kept: Kept,
}

/// Strings with the list of pointers to them that the kernel wants.
pub(super) struct Strings {
    /// Kept alive for the pointers.
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers lead to the heap memory of the strings beside them, which move along and are
// never changed.
unsafe impl Send for Strings {}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { _owned: owned, pointers }
    }

    /// The list, which ends in a null pointer.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// A plan without its descriptors, and where its ports lead.
pub(super) struct Draft {
    shown: Vec<Shown>,
    links: Vec<(String, String)>,
    environment: Vec<CString>,
    /// Where the ports lead.
    pub routes: Vec<Route>,
}

/// The folder that the working directory is in.
pub(super) const WORKING_FOLDER: &std::ffi::CStr = c"/task/bundle";

impl Host {
    /// What the program will see.
    pub(super) fn draft(&self, confinement: &Confinement) -> Result<Draft, Error> {
        let mut view = View::default();
        view.shown.extend(devices());
        view.merge(&self.tools);
        if matches!(confinement.program, Program::Python { .. }) {
            view.merge(&self.python);
        }
        let folders = [
            (&confinement.bundle, "/task/bundle", Kind::Code),
            (&confinement.files, "/task/files", Kind::Data),
            (&confinement.inputs, "/task/inputs", Kind::Data),
        ];
        for (source, target, kind) in folders {
            if let Some(source) = source {
                view.shown.push(Shown { source: source.clone(), target: target.to_owned(), kind });
            }
        }
        if !stands(Protection::OwnProc) {
            view.shown.push(Shown::same("/proc".as_ref(), Kind::Data));
        }
        let routes = confinement.upstreams.routes();
        let environment = environment::build(&confinement.env, &routes, &self.python_path)?;
        Ok(Draft { shown: view.shown, links: view.links, environment, routes })
    }

    /// The plan; `kept` is given the Landlock ruleset.
    pub(super) fn plan(
        &self,
        confinement: &Confinement,
        draft: Draft,
        kept: impl FnOnce(std::os::fd::OwnedFd) -> Result<Kept, Error>,
    ) -> Result<Plan, Error> {
        check(&confinement.resources)?;
        let identity = Identity::next();
        let ports: Vec<u16> = draft.routes.iter().map(|route| route.port).collect();
        let (ruleset, inside) = Rules::new(self.landlock, &draft.shown, &ports)?.into_parts();
        let (program, arguments) = self.command(&confinement.program)?;
        Ok(Plan {
            table: Table::new(&draft.shown, &draft.links, &confinement.resources, self.max_files, identity)?,
            identity,
            ports: Ports::new(ports),
            limits: rlimits::limits(&confinement.resources, self.max_processes),
            inside,
            filter: self.filter.clone(),
            program,
            arguments: Strings::new(arguments),
            environment: Strings::new(draft.environment),
            kept: kept(ruleset)?,
        })
    }

    fn command(&self, program: &Program) -> Result<(CString, Vec<CString>), Error> {
        let (path, first, arguments): (_, &[&str], _) = match program {
            Program::Python { arguments } => {
                (self.runtime.interpreter().to_string_lossy(), &Runtime::ARGUMENTS, arguments)
            }
            Program::Executable { path, arguments } => (path.into(), &[], arguments),
        };
        let path = c_string(&path)?;
        let rest = first.iter().copied().chain(arguments.iter().map(String::as_str)).map(c_string);
        let all = std::iter::once(Ok(path.clone())).chain(rest).collect::<Result<Vec<_>, _>>()?;
        Ok((path, all))
    }
}

/// Below these the set-up itself would fail, with a less helpful error.
fn check(resources: &Resources) -> Result<(), Error> {
    let least = [
        ("memory in bytes", resources.memory_bytes, 8 << 20),
        ("disk in bytes", resources.disk_bytes, 64 << 10),
        ("processor time in thousandths", u64::from(resources.cpu_millis), 10),
    ];
    for (what, value, least) in least {
        if value < least {
            return Err(Error::Limit { what, value, reason: "too small to start a program" });
        }
    }
    Ok(())
}
