//! What an engine gives up before it sees a query.

use std::{fs, io};

use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    path_beneath_rules,
};
use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
    },
    unistd::{Gid, Uid, close, getuid, setgroups, setresgid, setresuid},
};

/// `nobody` and `nogroup`: what an engine that was started by root becomes.
const NOBODY: u32 = 65_534;
/// Descriptors that an engine may have open.
const MAX_DESCRIPTORS: u64 = 256;
/// What name resolution and certificates read.
const READABLE: [&str; 4] = ["/etc", "/run/systemd/resolve", "/usr/share/ca-certificates", "/usr/lib/ssl"];
/// Address space that is mapped and never used: the program itself, reserved arenas of the allocator.
const ADDRESS_SLACK_BYTES: u64 = 1 << 30;

/// Why an engine does not start. It never runs with less confinement than this module gives.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}: {1}")]
    System(&'static str, Errno),
    #[error("reading /proc/self: {0}")]
    Proc(#[from] io::Error),
    #[error("landlock: {0}")]
    Landlock(#[from] RulesetError),
}

fn at(step: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::System(step, errno)
}

/// What needs no knowledge of the configuration: identity, descriptors, core dumps, and an end with
/// the service.
pub(super) fn identity() -> Result<(), Error> {
    close_descriptors()?;
    if getuid().is_root() {
        setgroups(&[]).map_err(at("setgroups"))?;
        let (gid, uid) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
        setresgid(gid, gid, gid).map_err(at("setresgid"))?;
        setresuid(uid, uid, uid).map_err(at("setresuid"))?;
    }
    prctl::set_no_new_privs().map_err(at("no_new_privs"))?;
    prctl::set_dumpable(false).map_err(at("dumpable"))?;
    // After the change of identity, which clears it.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at("pdeathsig"))?;
    limit(Resource::RLIMIT_CORE, 0)?;
    limit(Resource::RLIMIT_FSIZE, 0)?;
    limit(Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS)
}

/// Memory past which the kernel refuses. `stack_bytes` is what the threads' stacks may take besides.
pub(super) fn memory(memory_bytes: u64, stack_bytes: u64) -> Result<(), Error> {
    let data = memory_bytes.saturating_add(stack_bytes);
    limit(Resource::RLIMIT_DATA, data)?;
    limit(Resource::RLIMIT_AS, mapped_bytes()?.saturating_add(data).saturating_add(ADDRESS_SLACK_BYTES))
}

/// No files but those that name resolution reads, and no connections but to these ports. Kernels
/// without Landlock skip it: the private catalog does not depend on it.
pub(super) fn reach(ports: &[u16]) -> Result<(), Error> {
    let abi = ABI::V5;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READABLE, AccessFs::from_read(abi)))?;
    for port in ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    rules.restrict_self()?;
    Ok(())
}

fn limit(resource: Resource, value: u64) -> Result<(), Error> {
    setrlimit(resource, value, value).map_err(at("setrlimit"))
}

/// Whatever the service's parents left open would otherwise be open here too.
fn close_descriptors() -> Result<(), Error> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        match close(descriptor) {
            // The descriptor of the listing itself is closed already.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(errno) => return Err(Error::System("close", errno)),
        }
    }
    Ok(())
}

/// Bytes of address space that are mapped now.
fn mapped_bytes() -> Result<u64, Error> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.ok_or_else(|| io::Error::other("statm has no size"))?.saturating_mul(4096))
}
