//! Patterns as IAM reads them: `*` is any run of characters (slashes too), `?` is any one, and
//! `${*}`, `${?}` and `${$}` are those characters themselves.

/// What a pattern is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(char),
    AnyOne,
    AnyRun,
}

/// A parsed pattern. Matching is case-sensitive and covers the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Token>);

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`${{{0}}}` is a policy variable that this store does not know; only `${{*}}`, `${{?}}` and `${{$}}` are"
)]
pub struct UnknownVariable(String);

impl Pattern {
    /// Parses a pattern with wildcards, as in a `Resource` or under `StringLike`.
    ///
    /// # Errors
    /// On a policy variable other than the three escapes.
    pub fn with_wildcards(unverified: &str) -> Result<Self, UnknownVariable> {
        let wildcard = |c| match c {
            '*' => Token::AnyRun,
            '?' => Token::AnyOne,
            literal => Token::Literal(literal),
        };
        parse(unverified, wildcard)
    }

    /// Parses a text without wildcards, as under `StringEquals`; escapes still count.
    ///
    /// # Errors
    /// On a policy variable other than the three escapes.
    pub fn exact(unverified: &str) -> Result<Self, UnknownVariable> {
        parse(unverified, Token::Literal)
    }

    /// Whether the pattern covers all of `text`. Takes at most pattern × text steps.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at_pattern, mut at_text) = (0, 0);
        // Where to go on when the characters after the last `*` do not fit: one character later.
        let mut retry: Option<(usize, usize)> = None;
        while at_text < text.len() {
            match self.0.get(at_pattern) {
                Some(Token::AnyRun) => {
                    retry = Some((at_pattern + 1, at_text));
                    at_pattern += 1;
                }
                Some(token) if token.takes(text[at_text]) => {
                    at_pattern += 1;
                    at_text += 1;
                }
                _ => {
                    let Some((after_run, from)) = retry else { return false };
                    retry = Some((after_run, from + 1));
                    (at_pattern, at_text) = (after_run, from + 1);
                }
            }
        }
        self.0[at_pattern..].iter().all(|token| *token == Token::AnyRun)
    }
}

impl Token {
    fn takes(self, c: char) -> bool {
        match self {
            Self::Literal(literal) => literal == c,
            Self::AnyOne => true,
            Self::AnyRun => false,
        }
    }
}

fn parse(unverified: &str, plain: impl Fn(char) -> Token) -> Result<Pattern, UnknownVariable> {
    let mut tokens = Vec::with_capacity(unverified.len());
    let mut rest = unverified;
    while let Some(c) = rest.chars().next() {
        if let Some(variable) = rest.strip_prefix("${") {
            let name = variable.split('}').next().unwrap_or(variable);
            let literal = match name {
                "*" => '*',
                "?" => '?',
                "$" => '$',
                unknown => return Err(UnknownVariable(unknown.chars().take(40).collect())),
            };
            let after = &variable[name.len()..];
            rest = after.strip_prefix('}').ok_or_else(|| UnknownVariable(name.to_owned()))?;
            tokens.push(Token::Literal(literal));
        } else {
            tokens.push(plain(c));
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(Pattern(tokens))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trace_contracts::location::iam_escape;

    use super::*;

    #[test]
    fn wildcards_match_as_iam_does() {
        let cases = [
            ("a/*", "a/b/c", true),
            ("a/*", "a/", true),
            ("a/*", "a", false),
            ("a/*", "ab/c", false),
            ("t1/*", "t10/x", false),
            ("t1*", "t10/x", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("*b*", "abc", true),
            ("*ab", "aab", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("A/*", "a/b", false),
            ("a${*}/x", "a*/x", true),
            ("a${*}/x", "ab/x", false),
            ("a${?}", "a?", true),
            ("a${?}", "ab", false),
            ("a${$}b", "a$b", true),
            ("a$b", "a$b", true),
            ("ä?ö", "äüö", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, text, expected) in cases {
            let parsed = Pattern::with_wildcards(pattern).unwrap();
            assert_eq!(parsed.matches(text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn an_exact_text_has_no_wildcards() {
        assert!(Pattern::exact("a*").unwrap().matches("a*"));
        assert!(!Pattern::exact("a*").unwrap().matches("ab"));
        assert!(Pattern::exact("a${*}").unwrap().matches("a*"));
    }

    #[test]
    fn other_variables_are_refused() {
        for bad in ["${aws:username}/*", "${", "${*", "${}", "x${s3:prefix}"] {
            assert!(Pattern::with_wildcards(bad).is_err(), "{bad} must be refused");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = Pattern::with_wildcards(&"a*".repeat(200)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(150))));
    }

    proptest! {
        #[test]
        fn an_escaped_text_matches_itself_and_nothing_else(text in "\\PC{0,20}", other in "\\PC{0,20}") {
            let pattern = Pattern::with_wildcards(&iam_escape(&text)).unwrap();
            prop_assert!(pattern.matches(&text));
            prop_assert_eq!(pattern.matches(&other), text == other);
        }
    }
}
