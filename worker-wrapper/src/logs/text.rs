//! Bytes to plain text that can't steer a terminal or hide what it says.

/// Text in which invalid UTF-8, control characters (tabs apart) and the characters that turn the
/// direction of writing are replaced by U+FFFD.
pub(super) fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

fn steers(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_replaced() {
        let cases: [(&[u8], &str); 6] = [
            (b"plain\ttext", "plain\ttext"),
            ("größe 🛩".as_bytes(), "größe 🛩"),
            (b"\x1b[31mred", "\u{fffd}[31mred"),
            (b"a\0b\rc\x07", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            (b"bad \xff\xfe end", "bad \u{fffd}\u{fffd} end"),
            ("\u{202e}evil\u{9b}".as_bytes(), "\u{fffd}evil\u{fffd}"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(plain(bytes), expected);
        }
    }
}
