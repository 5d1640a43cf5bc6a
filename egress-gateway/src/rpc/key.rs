//! A provider's key: read once from a file that nobody else can read, and shown to that provider alone.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use http::{HeaderName, HeaderValue, header::AUTHORIZATION, request::Builder};
use trace_contracts::Secret;
use url::Url;

use super::config::{Credential, Place};

/// A shorter one would be found in answers that do not have it.
const SHORTEST: usize = 8;
/// And no key is longer.
const LONGEST: usize = 4_096;
/// Nobody but its owner reads the file, or writes it.
const EXPOSED: u32 = 0o077;

/// Why a key can't be used. The key stays out of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("the key in {path} can't be read: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else could read or change it.
    #[error("the key in {path} is open to others: run `chmod 600 {path}`", path = .0.display())]
    Exposed(PathBuf),
    /// It is no key.
    #[error("the key in {} has to be one line of {SHORTEST} to {LONGEST} visible characters of ASCII, without `\"` and `\\`; in an address, letters, digits, `-`, `.`, `_` and `~` alone", .0.display())]
    Form(PathBuf),
    /// There is no such header.
    #[error("`{0}` is no header that a key could go in")]
    Header(String),
}

/// What a request shows a provider.
pub(super) struct Key {
    secret: Secret<String>,
    way: Way,
}

/// Where in a request it goes.
enum Way {
    Header(HeaderName, HeaderValue),
    /// It is in the address.
    Address,
}

impl Key {
    /// Reads it. What goes into the address is put there now.
    pub(super) fn read(credential: &Credential, url: &mut Url) -> Result<Self, Error> {
        let text = read(&credential.file)?;
        let form = || Error::Form(credential.file.clone());
        let is_visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if !(SHORTEST..=LONGEST).contains(&text.len()) || !text.bytes().all(is_visible) {
            return Err(form());
        }
        let way = match &credential.place {
            Place::Bearer => {
                Way::Header(AUTHORIZATION, sensitive(&format!("Bearer {text}")).ok_or_else(form)?)
            }
            Place::Header(name) => {
                let header = name.parse().map_err(|_| Error::Header(name.clone()))?;
                Way::Header(header, sensitive(&text).ok_or_else(form)?)
            }
            Place::Query(_) | Place::Path if !text.bytes().all(is_plain) => return Err(form()),
            Place::Query(name) => {
                url.query_pairs_mut().append_pair(name, &text);
                Way::Address
            }
            Place::Path => {
                let path = format!("{}/{text}", url.path().trim_end_matches('/'));
                url.set_path(&path);
                Way::Address
            }
        };
        Ok(Self { secret: Secret::new(text), way })
    }

    /// The key itself, for looking for it in answers.
    pub(super) const fn secret(&self) -> &Secret<String> {
        &self.secret
    }

    /// Adds it to a request.
    pub(super) fn show(&self, request: Builder) -> Builder {
        match &self.way {
            Way::Header(name, value) => request.header(name, value),
            Way::Address => request,
        }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.mode() & EXPOSED != 0 {
        return Err(Error::Exposed(path.to_owned()));
    }
    let mut text = String::new();
    let longest = LONGEST as u64 + 2;
    file.take(longest).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use http::Request;

    use super::*;

    fn key(content: &str, mode: u32, place: Place) -> Result<(Key, Url), Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let mut url: Url = "https://a.example.com/v1/?x=1".parse().unwrap();
        Key::read(&Credential { file, place }, &mut url).map(|key| (key, url))
    }

    #[test]
    fn a_key_goes_where_it_is_said_to() {
        let shown = |place| {
            let (key, url) = key("secret-key_1\n", 0o600, place).unwrap();
            let request = key.show(Request::post("/")).body(()).unwrap();
            let headers: Vec<String> = request
                .headers()
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            assert!(!format!("{:?}", request.headers()).contains("secret-key_1"), "headers hide it");
            (headers.join("; "), url.to_string())
        };
        let plain = "https://a.example.com/v1/?x=1".to_owned();
        assert_eq!(shown(Place::Bearer), ("authorization: Bearer secret-key_1".to_owned(), plain.clone()));
        assert_eq!(shown(Place::Header("X-Key".into())), ("x-key: secret-key_1".to_owned(), plain));
        assert_eq!(shown(Place::Query("k".into())).1, "https://a.example.com/v1/?x=1&k=secret-key_1");
        assert_eq!(shown(Place::Path).1, "https://a.example.com/v1/secret-key_1?x=1");
    }

    #[test]
    fn what_others_can_read_or_what_is_no_key_is_refused_and_not_told() {
        for mode in [0o640, 0o604, 0o620, 0o666] {
            assert!(matches!(key("secret-key_1", mode, Place::Bearer), Err(Error::Exposed(_))), "{mode:o}");
        }
        for bad in [
            "",
            "short",
            "two lines\nof it",
            "a space in it",
            "quoted\"quoted",
            "back\\slashes",
            "ümlauts-ümlauts",
        ] {
            let error = key(bad, 0o600, Place::Bearer).err().unwrap();
            assert!(matches!(error, Error::Form(_)), "{bad}");
            assert!(bad.is_empty() || !error.to_string().contains(bad), "{error}");
        }
        assert!(matches!(key("with/slashes", 0o600, Place::Path), Err(Error::Form(_))));
        assert!(matches!(key("with%2fpercent", 0o600, Place::Query("k".into())), Err(Error::Form(_))));
        assert!(key("with/slashes", 0o600, Place::Bearer).is_ok());
        assert!(matches!(key("secret-key_1", 0o600, Place::Header("a b".into())), Err(Error::Header(_))));
    }
}
