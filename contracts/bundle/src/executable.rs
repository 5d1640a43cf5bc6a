//! Whether a bundle's `main` can run in the sandbox at all: there, no dynamic linker awaits it. A
//! user hears that here, with what to do, and not as a sandbox that failed to start.

/// Why `main` can't run.
#[derive(Debug, thiserror::Error)]
pub enum NotExecutable {
    /// Not an ELF file of 64 bits.
    #[error(
        "it is not an executable for Linux (ELF, 64 bits); build it with `cargo build --release` for a Linux target"
    )]
    Format,
    /// For another kind of machine.
    #[error("it was built for another kind of machine than {0}; build it with `--target`")]
    Machine(&'static str),
    /// It needs a dynamic linker.
    #[error("it is linked dynamically; build it with RUSTFLAGS=\"-C target-feature=+crt-static\"")]
    Dynamic,
}

/// The ELF header and as many program headers as any linker writes.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;

/// `PT_INTERP`: the segment that names the dynamic linker.
const SEGMENT_INTERPRETER: u32 = 3;

/// The kinds of machine that Trace runs on: their names, and their numbers in ELF.
const KNOWN: [(&str, u16); 2] = [("x86_64", 62), ("aarch64", 183)];

/// Which kinds of machine an executable may be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machines {
    /// The one that this code runs on.
    This,
    /// All that Trace runs on.
    Any,
}

impl Machines {
    const fn shown(self) -> &'static str {
        match self {
            Self::This => std::env::consts::ARCH,
            Self::Any => "x86_64 or aarch64",
        }
    }

    fn have(self, machine: u16) -> bool {
        let is_meant = |name: &str| self == Self::Any || name == std::env::consts::ARCH;
        KNOWN.iter().any(|(name, number)| *number == machine && is_meant(name))
    }
}

/// Checks an executable by the beginning of its content.
///
/// # Errors
/// Says why it can't run.
pub fn check_head(head: &[u8], machines: Machines) -> Result<(), NotExecutable> {
    // 2: 64 bits; 1: little-endian; 1: the only version.
    if !head.starts_with(b"\x7fELF\x02\x01\x01") {
        return Err(NotExecutable::Format);
    }
    if !machines.have(u16::from_le_bytes(field(head, 18)?)) {
        return Err(NotExecutable::Machine(machines.shown()));
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
    fn only_static_executables_for_known_machines_pass() {
        const X86_64: u16 = 62;
        let check = |head: &[u8]| check_head(head, Machines::Any);
        assert!(check(&elf(X86_64, 1)).is_ok() && check(&elf(183, 1)).is_ok());
        let here = KNOWN.iter().filter(|(_, number)| check_head(&elf(*number, 1), Machines::This).is_ok());
        assert_eq!(here.map(|(name, _)| *name).collect::<Vec<_>>(), [std::env::consts::ARCH]);
        assert!(matches!(check(&elf(X86_64, SEGMENT_INTERPRETER)), Err(NotExecutable::Dynamic)));
        assert!(matches!(check(&elf(8, 1)), Err(NotExecutable::Machine(_))));
        assert!(matches!(check(b"#!/bin/sh\necho"), Err(NotExecutable::Format)));
        assert!(matches!(check(&elf(X86_64, 1)[..60]), Err(NotExecutable::Format)));
        let mut far = elf(X86_64, 1);
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(check(&far), Err(NotExecutable::Format)));
    }

    #[test]
    fn this_test_itself_is_linked_dynamically() {
        let mut head = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        head.truncate(HEAD_BYTES);
        assert!(matches!(check_head(&head, Machines::This), Err(NotExecutable::Dynamic)));
    }
}
