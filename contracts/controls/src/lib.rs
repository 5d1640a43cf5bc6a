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
    /// The dispatcher examines a bundle when it is deployed.
    ExaminedBundles,
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
    /// A token has the one algorithm of ours.
    TokenAlgorithm,
    /// A token has the type of its kind.
    TokenType,
    /// A token's header names no keys and nothing that has to be understood.
    TokenHeader,
    /// A token's signature is checked.
    TokenSignature,
    /// A token is read by its one audience.
    TokenAudience,
    /// A token is from the one issuer.
    TokenIssuer,
    /// A token holds from its start to its end.
    TokenTime,
    /// A token has a bounded length.
    TokenSize,
    /// A capability, and a session of the object store, end with their attempt.
    LivingAttempt,
    /// `/internal` is for workers and planes.
    ServiceIdentity,
    /// A statement is one plain read.
    SqlStatement,
    /// A plan reads, and does nothing else.
    SqlPlan,
    /// Queries call listed functions.
    SqlFunctions,
    /// A statement and its plan are of bounded size and depth.
    SqlBounds,
    /// A row filter hides rows.
    RowFilter,
    /// A column list hides columns.
    ColumnList,
    /// Rows and bytes of one result are bounded.
    ResultBounds,
    /// A limit on the memory of a query engine.
    EngineMemory,
    /// Orgs take turns at query engines.
    FairTurns,
    /// An object is read as it was committed.
    ObjectPins,
    /// A session of the object store does what its policy says.
    SessionPolicy,
    /// A session's requests show its token.
    SessionToken,
    /// Requests to the object store have the one form that is offered.
    RequestForm,
    /// Headers that change what a request does are signed.
    SignedHeaders,
    /// An input with hidden rows or columns yields no object credentials.
    FilteredObjects,
    /// Folders of inputs that no session holds are never put together into one above them.
    NarrowFolders,
    /// Code that is granted no destination finds no proxy.
    WayOut,
    /// The proxy of a sandbox shows the attempt's own token and no other.
    OwnToken,
    /// A destination is reached only if the capability grants it.
    EgressGrants,
    /// Bytes and requests of a grant are bounded.
    EgressBudget,
    /// What is not on the public Internet is not dialled.
    PublicAddresses,
    /// Cloud metadata services are not reached, whatever a policy allows.
    CloudMetadata,
    /// Aliases of names are followed so far and no further.
    AliasBound,
    /// A tunnel begins with TLS for the host that it was opened for.
    TunnelHello,
    /// A `Host` header that names another host than the address is refused.
    HostChecked,
    /// The `Host` header that goes out is written from the address.
    HostWritten,
}

/// How many times larger a limit is while its protection is off: an attack stops slightly past the limit.
pub const WIDER: u64 = 4;

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

/// What a process that starts with an empty environment has to be given to know what is off: nothing.
#[cfg(not(feature = "unsafe-controls"))]
#[inline(always)]
#[must_use]
pub const fn passed_on() -> Option<(&'static str, String)> {
    None
}

/// What a process that starts with an empty environment has to be given to know what is off.
#[cfg(feature = "unsafe-controls")]
#[must_use]
pub fn passed_on() -> Option<(&'static str, String)> {
    Some((VARIABLE, off()))
}

/// A limit, or more of it while its protection is off.
#[inline]
#[must_use]
pub fn limited(protection: Protection, limit: u64) -> u64 {
    if stands(protection) { limit } else { limit.saturating_mul(WIDER) }
}

#[cfg(feature = "unsafe-controls")]
mod switches;

#[cfg(feature = "unsafe-controls")]
pub use switches::{ALL, Unknown, VARIABLE, off, stands, switch_to};

/// At compile time: nothing that a program does can change it.
#[cfg(not(feature = "unsafe-controls"))]
const _: () = assert!(stands(Protection::Seccomp) && !SWITCHABLE);
