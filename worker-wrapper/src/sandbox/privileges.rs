//! Who a task is: an unprivileged user without a single capability.

use super::{
    namespaces::Identity,
    syscall::{self, Errno},
};

/// No capability comes from being user 0, none is gained or kept by changing users, none can be made
/// ambient; and none of that can be changed again (`SECBIT_*` and their locks).
const SECUREBITS: libc::c_int = libc::SECBIT_NOROOT
    | libc::SECBIT_NOROOT_LOCKED
    | libc::SECBIT_NO_SETUID_FIXUP
    | libc::SECBIT_NO_SETUID_FIXUP_LOCKED
    | libc::SECBIT_KEEP_CAPS_LOCKED
    | libc::SECBIT_NO_CAP_AMBIENT_RAISE
    | libc::SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

/// More than any kernel has; the kernel answers `EINVAL` past its own last one.
const CAPABILITIES: libc::c_ulong = 64;

/// In the child: becomes the user of the sandbox, and keeps the capabilities in the new namespaces
/// until [`give_up`].
pub(super) fn assume(identity: &Identity) -> Result<(), Errno> {
    syscall::prctl(libc::PR_SET_SECUREBITS, libc::c_ulong::from(SECUREBITS.cast_unsigned()), 0)?;
    if identity.clears_groups() {
        syscall::clear_groups()?;
    }
    syscall::become_user(Identity::INSIDE, Identity::INSIDE)
}

/// In the child: gives up every capability in every set, for good.
pub(super) fn give_up() -> Result<(), Errno> {
    for capability in 0..CAPABILITIES {
        match syscall::prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Err(libc::EINVAL) => break,
            other => other?,
        }
    }
    syscall::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)?;
    syscall::drop_capability_sets()?;
    syscall::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}
