//! The switches. Compiled for the hostile suite alone.

use std::{
    env,
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::Protection::{self, *};

/// The variable that a process starts with: names of what is off, separated by commas.
pub const VARIABLE: &str = "TRACE_UNSAFE_CONTROLS";

/// Every protection with its name. The prefix is long enough to be searched for in a binary.
const NAMES: [(Protection, &str); 61] = [
    (Seccomp, "unsafe-control:seccomp"),
    (Landlock, "unsafe-control:landlock"),
    (NetworkNamespace, "unsafe-control:network-namespace"),
    (OwnProc, "unsafe-control:own-proc"),
    (ReadOnlyMounts, "unsafe-control:read-only-mounts"),
    (SealedRoot, "unsafe-control:sealed-root"),
    (NoExec, "unsafe-control:no-exec"),
    (ClosedDescriptors, "unsafe-control:closed-descriptors"),
    (CleanEnvironment, "unsafe-control:clean-environment"),
    (MemoryLimit, "unsafe-control:memory-limit"),
    (ProcessLimit, "unsafe-control:process-limit"),
    (DiskLimit, "unsafe-control:disk-limit"),
    (FileCountLimit, "unsafe-control:file-count-limit"),
    (NoCoreFiles, "unsafe-control:no-core-files"),
    (Deadline, "unsafe-control:deadline"),
    (PlainOutputs, "unsafe-control:plain-outputs"),
    (LogCap, "unsafe-control:log-cap"),
    (StoredLogCap, "unsafe-control:stored-log-cap"),
    (ExaminedBundles, "unsafe-control:examined-bundles"),
    (BundleNames, "unsafe-control:bundle-names"),
    (BundleKinds, "unsafe-control:bundle-kinds"),
    (BundleDuplicates, "unsafe-control:bundle-duplicates"),
    (BundleBounds, "unsafe-control:bundle-bounds"),
    (FetchedHash, "unsafe-control:fetched-hash"),
    (UploadedHash, "unsafe-control:uploaded-hash"),
    (TokenAlgorithm, "unsafe-control:token-algorithm"),
    (TokenType, "unsafe-control:token-type"),
    (TokenHeader, "unsafe-control:token-header"),
    (TokenSignature, "unsafe-control:token-signature"),
    (TokenAudience, "unsafe-control:token-audience"),
    (TokenIssuer, "unsafe-control:token-issuer"),
    (TokenTime, "unsafe-control:token-time"),
    (TokenSize, "unsafe-control:token-size"),
    (LivingAttempt, "unsafe-control:living-attempt"),
    (ServiceIdentity, "unsafe-control:service-identity"),
    (SqlStatement, "unsafe-control:sql-statement"),
    (SqlPlan, "unsafe-control:sql-plan"),
    (SqlFunctions, "unsafe-control:sql-functions"),
    (SqlBounds, "unsafe-control:sql-bounds"),
    (RowFilter, "unsafe-control:row-filter"),
    (ColumnList, "unsafe-control:column-list"),
    (ResultBounds, "unsafe-control:result-bounds"),
    (EngineMemory, "unsafe-control:engine-memory"),
    (FairTurns, "unsafe-control:fair-turns"),
    (ObjectPins, "unsafe-control:object-pins"),
    (SessionPolicy, "unsafe-control:session-policy"),
    (SessionToken, "unsafe-control:session-token"),
    (RequestForm, "unsafe-control:request-form"),
    (SignedHeaders, "unsafe-control:signed-headers"),
    (FilteredObjects, "unsafe-control:filtered-objects"),
    (NarrowFolders, "unsafe-control:narrow-folders"),
    (WayOut, "unsafe-control:way-out"),
    (OwnToken, "unsafe-control:own-token"),
    (EgressGrants, "unsafe-control:egress-grants"),
    (EgressBudget, "unsafe-control:egress-budget"),
    (PublicAddresses, "unsafe-control:public-addresses"),
    (CloudMetadata, "unsafe-control:cloud-metadata"),
    (AliasBound, "unsafe-control:alias-bound"),
    (TunnelHello, "unsafe-control:tunnel-hello"),
    (HostChecked, "unsafe-control:host-checked"),
    (HostWritten, "unsafe-control:host-written"),
];

/// How every switch's name starts.
const PREFIX: &str = "unsafe-control:";

/// Every protection.
pub const ALL: [Protection; NAMES.len()] = {
    let mut all = [Seccomp; NAMES.len()];
    let mut index = 0;
    while index < NAMES.len() {
        all[index] = NAMES[index].0;
        index += 1;
    }
    all
};

/// One bit for each protection that is off. Once it is there, reading it takes no lock and no memory,
/// so that the child of a sandbox may ask too.
static OFF: OnceLock<AtomicU64> = OnceLock::new();

/// There is no protection of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no protection `{}`", self.0)
    }
}

impl std::error::Error for Unknown {}

impl Protection {
    /// Its name in the table and in [`VARIABLE`].
    #[must_use]
    pub fn name(self) -> &'static str {
        self.switch().trim_start_matches(PREFIX)
    }

    /// Its name with the prefix that is searched for in binaries.
    #[must_use]
    pub fn switch(self) -> &'static str {
        NAMES.iter().find(|(known, _)| *known == self).map_or("unsafe-control:?", |(_, name)| name)
    }

    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

impl FromStr for Protection {
    type Err = Unknown;

    fn from_str(unverified: &str) -> Result<Self, Unknown> {
        let found = ALL.into_iter().find(|known| known.name() == unverified);
        found.ok_or_else(|| Unknown(unverified.to_owned()))
    }
}

/// Whether a protection stands.
#[must_use]
pub fn stands(protection: Protection) -> bool {
    bits().load(Ordering::SeqCst) & protection.bit() == 0
}

/// From now on these are off, and every other one stands.
pub fn switch_to(off: &[Protection]) {
    bits().store(off.iter().fold(0, |bits, protection| bits | protection.bit()), Ordering::SeqCst);
}

/// What is off, as [`VARIABLE`] has it: for a process that this one starts.
#[must_use]
pub fn off() -> String {
    let names: Vec<&str> = ALL.into_iter().filter(|known| !stands(*known)).map(Protection::name).collect();
    names.join(",")
}

/// A name that is unknown stops the process: a control that runs with everything standing would say
/// that its vector can't succeed.
fn bits() -> &'static AtomicU64 {
    OFF.get_or_init(|| {
        let names = env::var_os(VARIABLE).unwrap_or_default().to_string_lossy().into_owned();
        let off = names.split(',').filter(|name| !name.is_empty()).map(|name| {
            name.parse::<Protection>().unwrap_or_else(|error| panic!("{VARIABLE}: {error}")).bit()
        });
        AtomicU64::new(off.fold(0, |bits, bit| bits | bit))
    })
}
