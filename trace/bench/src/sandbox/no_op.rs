//! The smallest static program: it exits with 0, without a C library that would start up.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

/// `exit(0)`.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
#[cfg(target_arch = "x86_64")]
const MACHINE: u8 = 0x3e;

/// `exit(0)`.
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[0xa8, 0x0b, 0x80, 0xd2, 0, 0, 0x80, 0xd2, 1, 0, 0, 0xd4];
#[cfg(target_arch = "aarch64")]
const MACHINE: u8 = 0xb7;

/// Where it is loaded.
const BASE: u64 = 0x40_0000;
/// The file's header and one program header.
const HEADERS: u64 = 64 + 56;

/// Writes it to `path`, for everyone to execute.
pub fn write(path: &Path) -> io::Result<()> {
    fs::write(path, elf())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn elf() -> Vec<u8> {
    let size = HEADERS + CODE.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    elf.extend([MACHINE, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // one loadable part, readable and executable
    for word in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(CODE);
    elf
}
