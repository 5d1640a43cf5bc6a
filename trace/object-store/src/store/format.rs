//! The form of one object on disk: its bytes, then what is known about them as JSON, then the length
//! of that JSON and a mark. One file, so that bytes and ETag change together in one rename.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt, time::SystemTime};

use serde::{Deserialize, Serialize};

const MARK: &[u8; 8] = b"TRACEOB1";
const TAIL: u64 = 4 + MARK.len() as u64;
/// Attributes are bounded when they come in; this is room enough for all of them, escaped.
const MAX_ABOUT: u32 = 64 * 1024;

/// What a writer says about an object; kept and given back as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in super::super) struct Attributes {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_disposition: Option<String>,
    pub content_language: Option<String>,
    pub cache_control: Option<String>,
    /// `x-amz-meta-…`, without that prefix.
    pub metadata: BTreeMap<String, String>,
}

/// What is known about an object.
#[derive(Debug, Clone)]
pub(in super::super) struct About {
    /// In bytes.
    pub size: u64,
    /// The SHA-256 of the bytes, in hexadecimal, without quotes.
    pub etag: String,
    /// When the object got these bytes.
    pub modified: SystemTime,
    pub attributes: Attributes,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    size: u64,
    etag: String,
    attributes: Attributes,
}

/// The end of an object's file.
pub(super) fn tail(size: u64, etag: &str, attributes: &Attributes) -> io::Result<Vec<u8>> {
    let stored = Stored { size, etag: etag.to_owned(), attributes: attributes.clone() };
    let mut tail = serde_json::to_vec(&stored)?;
    let length = u32::try_from(tail.len()).ok().filter(|length| *length <= MAX_ABOUT);
    let length = length.ok_or_else(|| io::Error::other("the attributes are too long"))?;
    tail.extend(length.to_le_bytes());
    tail.extend(MARK);
    Ok(tail)
}

/// Reads what is known about the object in this file.
pub(super) fn read(file: &File) -> io::Result<About> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file is not a whole object");
    let on_disk = file.metadata()?;
    let mut tail = [0; TAIL as usize];
    let before_tail = on_disk.len().checked_sub(TAIL).ok_or_else(damaged)?;
    file.read_exact_at(&mut tail, before_tail)?;
    let [a, b, c, d, mark @ ..] = tail;
    let length = u32::from_le_bytes([a, b, c, d]);
    if mark != *MARK || length > MAX_ABOUT {
        return Err(damaged());
    }
    let size = before_tail.checked_sub(u64::from(length)).ok_or_else(damaged)?;
    let mut json = vec![0; length as usize];
    file.read_exact_at(&mut json, size)?;
    let stored: Stored = serde_json::from_slice(&json).map_err(|_| damaged())?;
    if stored.size != size {
        return Err(damaged());
    }
    Ok(About { size, etag: stored.etag, modified: on_disk.modified()?, attributes: stored.attributes })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn what_is_written_is_read() {
        let attributes = Attributes { content_type: Some("text/csv".to_owned()), ..Attributes::default() };
        for content in [&b""[..], b"a,b\n1,2\n"] {
            let mut bytes = content.to_vec();
            bytes.extend(tail(content.len() as u64, "abc", &attributes).unwrap());
            let about = read(&file(&bytes)).unwrap();
            assert_eq!(about.size, content.len() as u64);
            assert_eq!(about.etag, "abc");
            assert_eq!(about.attributes, attributes);
        }
    }

    #[test]
    fn a_cut_or_foreign_file_is_no_object() {
        let mut whole = b"content".to_vec();
        whole.extend(tail(7, "abc", &Attributes::default()).unwrap());
        let mut wrong_size = b"content!".to_vec();
        wrong_size.extend(tail(7, "abc", &Attributes::default()).unwrap());
        let cuts = (0..whole.len()).map(|end| &whole[..end]);
        for bytes in cuts.chain([b"PAR1 some other file PAR1".as_slice(), &wrong_size, &whole[1..]]) {
            assert!(read(&file(bytes)).is_err(), "{bytes:?}");
        }
        assert!(read(&file(&whole)).is_ok());
    }
}
