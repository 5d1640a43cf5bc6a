//! What a secret may be.

use trace_contracts::Secret;

use crate::logs::{LONGEST_SECRET, SHORTEST_SECRET};

/// Why a value can't be given to an operator. The value itself is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It would be found in ordinary words, and so is not looked for in logs.
    #[error("is shorter than {SHORTEST_SECRET} bytes, too short to be masked in logs: use a longer one")]
    Short,
    /// A log line is not looked at so far.
    #[error("is longer than 16 KiB: keep what is large in `files`, and a key to it in the secret")]
    Long,
    /// Bytes.
    #[error("is not text: store it as text, such as base64")]
    NotText,
    /// What no variable can hold.
    #[error("holds a NUL character, which no variable can")]
    Nul,
}

/// A value that can be passed in a variable, and found in a log.
pub(super) fn parse(unverified: Vec<u8>) -> Result<Secret<String>, Unusable> {
    if unverified.len() > LONGEST_SECRET {
        return Err(Unusable::Long);
    }
    let text = String::from_utf8(unverified).map_err(|_| Unusable::NotText)?;
    if text.contains('\0') {
        return Err(Unusable::Nul);
    }
    if text.trim().len() < SHORTEST_SECRET {
        return Err(Unusable::Short);
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_passed_or_masked_is_refused_without_showing_it() {
        for (value, expected) in [
            (b"hunter2".to_vec(), Unusable::Short),
            (b"hunter2\n   \n".to_vec(), Unusable::Short),
            (Vec::new(), Unusable::Short),
            (vec![b'x'; LONGEST_SECRET + 1], Unusable::Long),
            (b"hunter2\xffhunter2".to_vec(), Unusable::NotText),
            (b"hunter2\0hunter2".to_vec(), Unusable::Nul),
        ] {
            let refused = parse(value).unwrap_err();
            assert_eq!(refused, expected);
            assert!(!refused.to_string().contains("hunter2"));
        }
        assert_eq!(parse(b"hunter2!".to_vec()).unwrap().expose(), "hunter2!");
        assert!(parse(vec![b'x'; LONGEST_SECRET]).is_ok());
    }
}
