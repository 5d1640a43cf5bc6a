//! Which protections stand.
//!
//! All of them, always: without the feature `unsafe-controls` [`stands`] is a constant, and a binary
//! holds neither a switch nor the name of one. The hostile suite builds the platform once more with
//! that feature, and shows that each attack succeeds as soon as the protection it names is switched
//! off, so that an attack which could never succeed is noticed. See `docs/hostile.md`.

/// Something that denies an attack, and that the hostile suite can switch off alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "unsafe-controls", derive(Debug))]
pub enum Protection {
    /// The system call filter of a sandbox.
    Seccomp,
    /// The files and ports that Landlock allows in a sandbox.
    Landlock,
    /// The network of a sandbox, in which there is nothing.
    NetworkNamespace,
    /// The sandbox's own `/proc`, which shows its own processes and no settings.
    OwnProc,
    /// What is shown in a sandbox can't be changed.
    ReadOnlyMounts,
    /// The root folder of a sandbox can't be changed.
    SealedRoot,
    /// Nothing in the writable folders of a sandbox can be executed.
    NoExec,
    /// A sandbox inherits no descriptor.
    ClosedDescriptors,
    /// A sandbox inherits no variable.
    CleanEnvironment,
    /// A limit on the memory of a sandbox.
    MemoryLimit,
    /// A limit on the processes of a sandbox.
    ProcessLimit,
    /// A limit on the bytes in the writable folders of a sandbox.
    DiskLimit,
    /// A limit on the files in the writable folders of a sandbox.
    FileCountLimit,
    /// A crash in a sandbox leaves no core file.
    NoCoreFiles,
    /// A sandbox is killed when its time is up.
    Deadline,
    /// Outputs are plain files, and reading them follows nothing.
    PlainOutputs,
    /// The worker cuts the log of an attempt at a size.
    LogCap,
    /// The dispatcher takes no longer log of an attempt than that.
    StoredLogCap,
    /// Names in a bundle stay beneath its folder.
    BundleNames,
    /// A bundle holds files and folders and nothing else.
    BundleKinds,
    /// A bundle has each name once.
    BundleDuplicates,
    /// A bundle unpacks to a bounded size and number of entries.
    BundleBounds,
    /// The worker hashes what it fetches.
    FetchedHash,
    /// The dispatcher hashes what it is sent.
    UploadedHash,
}

/// Whether test builds can switch protections off. What is prepared ahead of time asks for this: it
/// would outlast a switch.
pub const SWITCHABLE: bool = cfg!(feature = "unsafe-controls");

/// Whether a protection stands. It always does.
#[cfg(not(feature = "unsafe-controls"))]
#[inline(always)]
#[must_use]
pub const fn stands(_: Protection) -> bool {
    true
}

/// Ends a program for users that was built with switches: the first thing that its `main` does. Such a
/// program comes of a build that selects `trace-hostile` among others, because one build has one set of
/// features.
#[cfg(not(feature = "unsafe-controls"))]
#[inline(always)]
pub const fn refuse_switches() {}

/// Ends a program for users that was built with switches.
#[cfg(feature = "unsafe-controls")]
pub fn refuse_switches() {
    eprintln!(
        "this program was built with switches for its protections: build it with `--exclude trace-hostile`"
    );
    std::process::exit(5);
}

#[cfg(feature = "unsafe-controls")]
mod switches;

#[cfg(feature = "unsafe-controls")]
pub use switches::{ALL, Unknown, VARIABLE, off, stands, switch_to};

/// At compile time: nothing that a program does can change it.
#[cfg(not(feature = "unsafe-controls"))]
const _: () = assert!(stands(Protection::Seccomp) && !SWITCHABLE);
