//! The rules that a bundle is read by.

use trace_controls::Protection;

use crate::Machines;

/// Bounds of a bundle, and what its executable may be.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Files and folders.
    pub entries: usize,
    /// The archive itself, in bytes.
    pub packed_bytes: u64,
    /// All files together, in bytes.
    pub unpacked_bytes: u64,
    /// Unpacked bytes for each byte of the archive; the first MiB is free.
    pub ratio: u64,
    /// What an executable may be built for.
    pub machines: Machines,
    /// Which protections stand: the hostile suite switches off those of the worker. The dispatcher's reading
    /// has one switch as a whole, so that each plane is shown to deny by itself.
    pub(crate) stands: fn(Protection) -> bool,
}

impl Rules {
    /// Of the dispatcher, which does not know what machines the workers have.
    #[must_use]
    pub fn at_deploy() -> Self {
        Self::with(Machines::Any, |_| true)
    }

    /// Of a worker, which runs it on this machine.
    #[must_use]
    pub fn at_worker() -> Self {
        Self::with(Machines::This, trace_controls::stands)
    }

    fn with(machines: Machines, stands: fn(Protection) -> bool) -> Self {
        let slack = if stands(Protection::BundleBounds) { 1 } else { 100 };
        Self {
            entries: 10_000 * slack as usize,
            packed_bytes: 256 << 20,
            unpacked_bytes: 1 << 30,
            ratio: 100 * slack,
            machines,
            stands,
        }
    }
}
