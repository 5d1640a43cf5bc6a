//! Whether a bundle's `main` can run in the sandbox at all: there, no dynamic linker awaits it. A
//! user hears that here, with what to do, and not as a sandbox that failed to start.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Why `main` can't run.
#[derive(Debug, thiserror::Error)]
pub enum NotExecutable {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Not an ELF file of 64 bits.
    #[error("it is not an executable for Linux (ELF, 64 bits)")]
    Format,
    /// For another kind of machine.
    #[error("it was built for another kind of machine than {}", std::env::consts::ARCH)]
    Machine,
    /// It needs a dynamic linker.
    #[error("it is linked dynamically; build it with RUSTFLAGS=\"-C target-feature=+crt-static\"")]
    Dynamic,
}

/// The ELF header and as many program headers as any linker writes.
const HEAD_BYTES: u64 = 16 * 1024;

/// `PT_INTERP`: the segment that names the dynamic linker.
const SEGMENT_INTERPRETER: u32 = 3;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

pub(super) fn check(path: &Path) -> Result<(), NotExecutable> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    check_head(&head)
}

fn check_head(head: &[u8]) -> Result<(), NotExecutable> {
    // 2: 64 bits; 1: little-endian; 1: the only version.
    if !head.starts_with(b"\x7fELF\x02\x01\x01") {
        return Err(NotExecutable::Format);
    }
    if u16::from_le_bytes(field(head, 18)?) != MACHINE {
        return Err(NotExecutable::Machine);
    }
    let table = u64::from_le_bytes(field(head, 32)?);
    let (size, count) = (u16::from_le_bytes(field(head, 54)?), u16::from_le_bytes(field(head, 56)?));
    for index in 0..u64::from(count) {
        let at = table.checked_add(index * u64::from(size)).ok_or(NotExecutable::Format)?;
        if u32::from_le_bytes(field(head, at)?) == SEGMENT_INTERPRETER {
            return Err(NotExecutable::Dynamic);
        }
    }
    Ok(())
}

fn field<const N: usize>(head: &[u8], at: u64) -> Result<[u8; N], NotExecutable> {
    let start = usize::try_from(at).map_err(|_| NotExecutable::Format)?;
    let end = start.checked_add(N).ok_or(NotExecutable::Format)?;
    head.get(start..end).and_then(|bytes| bytes.try_into().ok()).ok_or(NotExecutable::Format)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header and one program header of this kind.
    fn elf(machine: u16, segment: u32) -> Vec<u8> {
        let mut head = vec![0; 64 + 56];
        head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head[32] = 64;
        head[54] = 56;
        head[56] = 1;
        head[64..68].copy_from_slice(&segment.to_le_bytes());
        head
    }

    #[test]
    fn only_static_executables_for_this_machine_pass() {
        assert!(check_head(&elf(MACHINE, 1)).is_ok());
        assert!(matches!(check_head(&elf(MACHINE, SEGMENT_INTERPRETER)), Err(NotExecutable::Dynamic)));
        assert!(matches!(check_head(&elf(8, 1)), Err(NotExecutable::Machine)));
        assert!(matches!(check_head(b"#!/bin/sh\necho"), Err(NotExecutable::Format)));
        assert!(matches!(check_head(&elf(MACHINE, 1)[..60]), Err(NotExecutable::Format)));
        let mut far = elf(MACHINE, 1);
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(check_head(&far), Err(NotExecutable::Format)));
    }

    #[test]
    fn this_test_itself_is_linked_dynamically() {
        let path = std::env::current_exe().unwrap();
        assert!(matches!(check(&path), Err(NotExecutable::Dynamic)));
    }
}
