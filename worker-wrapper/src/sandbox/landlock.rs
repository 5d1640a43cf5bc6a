//! Landlock: files and ports, checked by the kernel independently of mounts and namespaces.
//!
//! The wrapper writes the rules for what it can see; the folders that exist only inside are added by the
//! child, which then enforces the ruleset.

use std::os::fd::{OwnedFd, RawFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
};

use super::{
    Error,
    mounts::{Kind, Shown},
    syscall::{self, Errno},
};

/// What this kernel offers of Landlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(i32);

/// The first version that can allow a file to move between folders (Linux 5.19).
const REQUIRED: Version = Version(2);
/// The last version that the rules below were written for.
const KNOWN: Version = Version(7);

const REMEDY: &str = "Linux 5.19 or newer is needed, with `landlock` in the list of security modules \
                      (boot with lsm=landlock,… and look at /sys/kernel/security/lsm)";

impl Version {
    /// Asks the kernel.
    pub(super) fn detect() -> Result<Self, Error> {
        const VERSION: libc::c_uint = 1;
        // SAFETY: with this flag the kernel takes no structure and returns a number.
        let answer = unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION)
        };
        let found = Self(i32::try_from(answer).unwrap_or(-1));
        if found < REQUIRED {
            let remedy = format!("{REMEDY}; this kernel has version {} of 2", found.0.max(0));
            return Err(Error::Missing { feature: "Landlock", remedy });
        }
        Ok(found.min(KNOWN))
    }

    fn abi(self) -> ABI {
        ABI::from(self.0)
    }
}

/// The rules for one sandbox.
pub(super) struct Rules {
    ruleset: OwnedFd,
    inside: Inside,
}

/// What the child adds once the ruleset is in its place.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    /// What may be done in `/out` and `/tmp`.
    writable: u64,
    /// What may be done in `/proc`, `/etc` and `/trace`, and with declared files and inputs.
    readable: u64,
    /// What may be done with the bundle of an executable.
    executable: u64,
    /// What may be done everywhere: to see which folders there are.
    listable: u64,
}

/// When the rules come into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enforced {
    /// After the attempt's folders were mounted: each has a rule of its own.
    AfterMounts,
    /// Before that. The kernel looks at a mounted folder and then at the folder above the place where it is
    /// mounted, so that one rule above all of them holds for what will come. It allows to read.
    BeforeMounts,
}

impl Rules {
    /// Rules that allow exactly these paths and connections to these loopback ports.
    pub(super) fn new(version: Version, shown: &[Shown], ports: &[u16]) -> Result<Self, Error> {
        let abi = version.abi();
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))
            .map_err(refused)?;
        if abi >= ABI::V4 {
            ruleset = ruleset.handle_access(AccessNet::from_all(abi)).map_err(refused)?;
        }
        if abi >= ABI::V6 {
            ruleset = ruleset.scope(Scope::from_all(abi)).map_err(refused)?;
        }
        let mut created = ruleset.create().map_err(refused)?;
        for path in shown {
            let fd = PathFd::new(&path.source).map_err(refused)?;
            let access = path.kind.access(abi, path.source.is_dir());
            created = created.add_rule(PathBeneath::new(fd, access)).map_err(refused)?;
        }
        if abi >= ABI::V4 {
            for port in ports {
                created = created.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(refused)?;
            }
        }
        let ruleset = Option::<OwnedFd>::from(created)
            .ok_or_else(|| Error::Missing { feature: "Landlock", remedy: REMEDY.to_owned() })?;
        let inside = Inside {
            writable: writable(abi).bits(),
            readable: (AccessFs::ReadFile | AccessFs::ReadDir).bits(),
            executable: (AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute).bits(),
            listable: BitFlags::from(AccessFs::ReadDir).bits(),
        };
        Ok(Self { ruleset, inside })
    }

    /// The ruleset's descriptor, and what the child adds to it.
    pub(super) fn into_parts(self) -> (OwnedFd, Inside) {
        (self.ruleset, self.inside)
    }
}

impl Kind {
    fn access(self, abi: ABI, is_folder: bool) -> BitFlags<AccessFs> {
        let access = match self {
            Self::Code => AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute,
            Self::Data => AccessFs::ReadFile | AccessFs::ReadDir,
            Self::Device => AccessFs::ReadFile | AccessFs::WriteFile,
        };
        if is_folder { access } else { access & AccessFs::from_file(abi) }
    }
}

/// Everything except executing, devices and their controls.
fn writable(abi: ABI) -> BitFlags<AccessFs> {
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    AccessFs::from_all(abi) & !never
}

fn refused(error: impl std::error::Error) -> Error {
    Error::Missing { feature: "Landlock", remedy: format!("{REMEDY}: {error}") }
}

impl Inside {
    /// In the child, in its new root: completes the ruleset and enforces it.
    pub(super) fn enforce(self, ruleset: RawFd, when: Enforced) -> Result<(), Errno> {
        let always = [
            (c"/out", self.writable),
            (c"/tmp", self.writable),
            (c"/proc", self.readable),
            (c"/etc", self.readable),
            (c"/trace", self.readable),
            (c"/", self.listable),
        ];
        let apart = [
            (c"/task/bundle", self.executable),
            (c"/task/files", self.readable),
            (c"/task/inputs", self.readable),
        ];
        let together = [(c"/task", self.readable)];
        let attempt: &[_] = match when {
            Enforced::AfterMounts => &apart,
            Enforced::BeforeMounts => &together,
        };
        for &(path, allowed) in always.iter().chain(attempt) {
            let parent = syscall::open(path, libc::O_PATH | libc::O_CLOEXEC)?;
            syscall::landlock_allow(ruleset, &syscall::PathBeneath { allowed, parent })?;
            syscall::close(parent);
        }
        syscall::landlock_enforce(ruleset)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn an_old_version_is_below_the_required_one() {
        assert!(Version(-1) < REQUIRED && Version(1) < REQUIRED && REQUIRED < KNOWN);
    }

    #[test]
    fn nothing_written_can_be_executed() {
        for abi in [ABI::V2, ABI::V3, ABI::V5, ABI::V7] {
            assert!(!writable(abi).contains(AccessFs::Execute));
            assert!(!writable(abi).intersects(AccessFs::MakeBlock | AccessFs::MakeChar));
            assert!(writable(abi).contains(AccessFs::WriteFile | AccessFs::MakeReg));
        }
    }

    #[test]
    fn a_ruleset_is_made_for_each_version_that_the_kernel_has() {
        let best = Version::detect().unwrap();
        for version in REQUIRED.0..=best.0 {
            let shown =
                [Shown::same("/usr".as_ref(), Kind::Code), Shown::same("/dev/null".as_ref(), Kind::Device)];
            let rules = Rules::new(Version(version), &shown, &[8001]).unwrap();
            assert!(rules.ruleset.as_raw_fd() > 2);
        }
    }
}
