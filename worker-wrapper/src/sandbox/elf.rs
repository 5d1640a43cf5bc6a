//! Which dynamic loader an executable asks for, if any.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// How an executable is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Linkage {
    /// It runs on its own.
    Static,
    /// It needs this loader and shared libraries.
    Dynamic {
        /// Absolute path.
        loader: String,
    },
    /// It is not a 64-bit little-endian ELF file, for example a script.
    Other,
}

const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 56;
/// No loader's path is longer.
const MAX_LOADER_BYTES: usize = 4096;
/// `PT_INTERP`.
const INTERPRETER: u32 = 3;
const MAGIC: &[u8] = b"\x7fELF\x02\x01";

/// Reads the program headers of `path`.
pub(super) fn linkage(path: &Path) -> io::Result<Linkage> {
    let file = File::open(path)?;
    let mut header = [0u8; HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Linkage::Other),
        other => other?,
    }
    if !header.starts_with(MAGIC) {
        return Ok(Linkage::Other);
    }
    let (table, size, count) = (word(&header, 32), half(&header, 54), half(&header, 56));
    if usize::from(size) != ENTRY_BYTES {
        return Ok(Linkage::Other);
    }
    for index in 0..u64::from(count) {
        let mut entry = [0u8; ENTRY_BYTES];
        let offset = table.saturating_add(index * u64::from(size));
        file.read_exact_at(&mut entry, offset)?;
        if u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) == INTERPRETER {
            let mut loader = vec![0; usize::try_from(word(&entry, 32)).unwrap_or(0).min(MAX_LOADER_BYTES)];
            file.read_exact_at(&mut loader, word(&entry, 8))?;
            let text = String::from_utf8_lossy(&loader).trim_end_matches('\0').to_owned();
            return Ok(Linkage::Dynamic { loader: text });
        }
    }
    Ok(Linkage::Static)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_dynamic_and_a_script_is_neither() {
        let this = std::env::current_exe().unwrap();
        assert!(matches!(linkage(&this).unwrap(), Linkage::Dynamic { loader } if loader.starts_with('/')));
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        for content in ["", "#!/bin/sh\n", &"x".repeat(100)] {
            std::fs::write(&script, content).unwrap();
            assert_eq!(linkage(&script).unwrap(), Linkage::Other);
        }
    }

    #[test]
    fn a_truncated_file_is_an_error_not_a_panic() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cut = folder.path().join("cut");
        std::fs::write(&cut, &this[..HEADER_BYTES + 10]).unwrap();
        assert!(linkage(&cut).is_err());
    }
}
