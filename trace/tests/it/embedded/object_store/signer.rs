//! Requests byte by byte: signed with SigV4 or not, and with paths that HTTP clients would tidy up.

use aws_lc_rs::hmac;
use chrono::Utc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use trace::embedded::object_store::{EmbeddedObjectStore, SessionKeys};
use trace_contracts::Sha256;

use super::REGION;

/// What came back.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        format!("{}\n{}", self.head, String::from_utf8_lossy(&self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (header, value) = line.split_once(": ")?;
            header.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Keys to sign with.
#[derive(Clone)]
pub struct Signer {
    pub address: String,
    pub key: String,
    pub secret: String,
    pub token: Option<String>,
    pub region: String,
}

impl Signer {
    pub fn root(store: &EmbeddedObjectStore) -> Self {
        let root = store.root_credentials();
        Self {
            address: store.endpoint().authority().to_owned(),
            key: root.access_key_id.clone(),
            secret: root.secret_access_key.expose().clone(),
            token: None,
            region: REGION.to_owned(),
        }
    }

    pub fn session(store: &EmbeddedObjectStore, keys: &SessionKeys) -> Self {
        Self {
            key: keys.access_key_id.clone(),
            secret: keys.secret_access_key.expose().clone(),
            token: Some(keys.session_token.expose().clone()),
            ..Self::root(store)
        }
    }

    /// Sends a signed request with the target exactly as it is given.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let hash = Sha256::of(body).to_string();
        self.send_hashed(method, target, headers, &hash, body).await
    }

    /// The same with another `x-amz-content-sha256` than the body's own.
    pub async fn send_hashed(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        hash: &str,
        body: &[u8],
    ) -> Reply {
        let mut bytes = self.head(method, target, headers, hash, body.len()).into_bytes();
        bytes.extend(body);
        exchange(&self.address, &bytes).await
    }

    /// The signed head of a request that closes its connection.
    pub fn head(
        &self,
        method: &str,
        target: &str,
        more: &[(&str, &str)],
        hash: &str,
        length: usize,
    ) -> String {
        let date = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
        let mut headers: Vec<(String, String)> =
            more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        headers.push(("host".to_owned(), self.address.clone()));
        headers.push(("x-amz-content-sha256".to_owned(), hash.to_owned()));
        headers.push(("x-amz-date".to_owned(), date.clone()));
        if let Some(token) = &self.token {
            headers.push(("x-amz-security-token".to_owned(), token.clone()));
        }
        headers.sort();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let signed_headers = names.join(";");
        let canonical = format!(
            "{method}\n{}\n{}\n{}\n{signed_headers}\n{hash}",
            encode(&decode(path), Slashes::Keep),
            canonical_query(query),
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect::<String>(),
        );
        let (scope, signature) = self.signature(&date, &canonical);
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in &headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!(
            "authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={signature}\r\n",
            self.key
        );
        head + &format!("content-length: {length}\r\nconnection: close\r\n\r\n")
    }

    /// A presigned target, good for a minute.
    pub fn presign(&self, method: &str, path: &str) -> String {
        let date = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
        let scope = self.scope(&date);
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={date}&X-Amz-Expires=60&X-Amz-SignedHeaders=host",
            encode(format!("{}/{scope}", self.key).as_bytes(), Slashes::Escape)
        );
        if let Some(token) = &self.token {
            query += &format!("&X-Amz-Security-Token={}", encode(token.as_bytes(), Slashes::Escape));
        }
        let canonical = format!(
            "{method}\n{path}\n{}\nhost:{}\n\nhost\nUNSIGNED-PAYLOAD",
            canonical_query(&query),
            self.address
        );
        let (_, signature) = self.signature(&date, &canonical);
        format!("{path}?{query}&X-Amz-Signature={signature}")
    }

    fn scope(&self, date: &str) -> String {
        format!("{}/{}/s3/aws4_request", &date[..8], self.region)
    }

    fn signature(&self, date: &str, canonical: &str) -> (String, String) {
        let scope = self.scope(date);
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", Sha256::of(canonical.as_bytes()));
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part.as_bytes());
        }
        (scope, hex::encode(mac(&key, to_sign.as_bytes())))
    }
}

fn mac(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref().to_vec()
}

/// Sends bytes and reads until the other side closes.
pub async fn exchange(address: &str, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    parse(&reply)
}

/// Splits a reply; one that broke off before its head was complete has the status 0.
pub fn parse(reply: &[u8]) -> Reply {
    let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Reply { status: 0, head: String::from_utf8_lossy(reply).into_owned(), body: Vec::new() };
    };
    let head = String::from_utf8_lossy(&reply[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Reply { status, head, body: reply[end + 4..].to_vec() }
}

#[derive(Clone, Copy, PartialEq)]
enum Slashes {
    Keep,
    Escape,
}

fn encode(bytes: &[u8], slashes: Slashes) -> String {
    bytes
        .iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(*byte).to_string()
            }
            b'/' if slashes == Slashes::Keep => "/".to_owned(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode(&decode(name), Slashes::Escape), encode(&decode(value), Slashes::Escape))
        })
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}
