//! Everything that the child needs, made ready before the copy; and what an attempt asks for.

use std::{
    ffi::{CString, c_char},
    iter, ptr,
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
    mounts::{self, START, Shown, Table, c_string, devices},
    namespaces::Identity,
    order::{Inbox, Order},
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

/// A sandbox that can be started; consumed by doing so. Nothing of an attempt is in it.
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
    /// What it does when everything is prepared.
    pub then: Then,
    /// The descriptors that the child keeps; the ruleset is among them.
    pub kept: Kept,
}

/// What the child does when everything is prepared.
pub(super) enum Then {
    /// It waits for its order and becomes the program.
    TakeOrder(Inbox),
    /// It becomes the interpreter, which waits for the order.
    Interpret(Interpreter),
}

/// The interpreter, as it is started to wait.
pub(super) struct Interpreter {
    /// Where it is inside.
    pub path: CString,
    /// With the path before them.
    pub arguments: Strings,
    /// `NAME=value`, the same for all.
    pub environment: Strings,
}

/// What is to be prepared. Sandboxes of one key are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// For which programs.
    pub kind: Kind,
    /// Loopback ports to listen on.
    pub ports: Vec<u16>,
}

/// For which programs a sandbox is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Executables.
    Executable,
    /// Python programs.
    Python,
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

/// The folder that the working directory is in.
pub(super) const WORKING_FOLDER: &std::ffi::CStr = c"/task/bundle";

/// What an attempt asks for, checked; a sandbox that is prepared can be given it.
pub(super) struct Request {
    /// Which sandbox fits.
    pub key: Key,
    /// What it is told.
    pub order: Order,
    /// What it is shown.
    pub shown: Vec<Shown>,
    /// What it may have.
    pub resources: Resources,
    /// Where its ports lead.
    pub routes: Vec<Route>,
}

impl Host {
    /// What this attempt asks for.
    pub(super) fn request(&self, confinement: &Confinement) -> Result<Request, Error> {
        check(&confinement.resources)?;
        let folders = [
            (&confinement.bundle, "/task/bundle", mounts::Kind::Code),
            (&confinement.files, "/task/files", mounts::Kind::Data),
            (&confinement.inputs, "/task/inputs", mounts::Kind::Data),
        ];
        let shown = folders.into_iter().filter_map(|(source, target, kind)| {
            Some(Shown { source: source.clone()?, target: target.to_owned(), kind })
        });
        let shown: Vec<Shown> = shown.collect();
        for path in &shown {
            mounts::check_source(path, Identity::any())?;
        }
        let routes = confinement.routes();
        let environment = environment::build(&confinement.env, &routes, &self.python_path)?;
        let (kind, arguments) = self.command(&confinement.program)?;
        Ok(Request {
            key: Key { kind, ports: routes.iter().map(|route| route.inside.port).collect() },
            order: Order::new(&arguments, &environment)?,
            shown,
            resources: confinement.resources,
            routes,
        })
    }

    /// The plan of a sandbox for any attempt with this key; `kept` is given the Landlock ruleset.
    pub(super) fn plan(
        &self,
        key: &Key,
        disk_bytes: u64,
        kept: impl FnOnce(std::os::fd::OwnedFd) -> Result<Kept, Error>,
    ) -> Result<Plan, Error> {
        let mut view = View::default();
        view.shown.extend(devices());
        view.merge(&self.tools);
        if !stands(Protection::OwnProc) {
            view.shown.push(Shown::same("/proc".as_ref(), mounts::Kind::Data));
        }
        let then = match key.kind {
            Kind::Executable => Then::TakeOrder(Inbox::new()),
            Kind::Python => {
                view.merge(&self.python);
                Then::Interpret(self.interpreter()?)
            }
        };
        let identity = Identity::next();
        let (ruleset, inside) = Rules::new(self.landlock, &view.shown, &key.ports)?.into_parts();
        Ok(Plan {
            table: Table::new(&view.shown, &view.links, disk_bytes, self.max_files, identity)?,
            identity,
            ports: Ports::new(key.ports.clone()),
            limits: rlimits::limits(self.max_processes),
            inside,
            filter: self.filter.clone(),
            then,
            kept: kept(ruleset)?,
        })
    }

    fn interpreter(&self) -> Result<Interpreter, Error> {
        let path = c_string(&self.runtime.interpreter().to_string_lossy())?;
        let arguments = Runtime::ARGUMENTS.iter().chain([&START]).map(|text| c_string(text));
        let arguments = iter::once(Ok(path.clone())).chain(arguments).collect::<Result<Vec<_>, _>>()?;
        Ok(Interpreter {
            path,
            arguments: Strings::new(arguments),
            environment: Strings::new(environment::fixed(&self.python_path)?),
        })
    }

    /// The arguments of a program, itself before them.
    fn command(&self, program: &Program) -> Result<(Kind, Vec<CString>), Error> {
        let (kind, path, arguments) = match program {
            Program::Python { arguments } => {
                (Kind::Python, self.runtime.interpreter().to_string_lossy(), arguments)
            }
            Program::Executable { path, arguments } => (Kind::Executable, path.into(), arguments),
        };
        let all = iter::once(&*path).chain(arguments.iter().map(String::as_str)).map(c_string);
        Ok((kind, all.collect::<Result<_, _>>()?))
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
