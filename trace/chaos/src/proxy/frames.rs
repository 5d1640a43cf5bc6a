//! PostgreSQL's messages on the wire: a byte that says what it is, four of length, a body. The very
//! first one of a client has no such byte.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longer ones are a mistake of this proxy.
const LONGEST: usize = 256 << 20;

/// One message, as it goes over the wire.
#[derive(Debug, Clone)]
pub(super) struct Frame(Vec<u8>);

impl Frame {
    /// The next one; `None` when the connection is over.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let kind = match from.read_u8().await {
            Ok(kind) => kind,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        Self::rest(from, vec![kind]).await.map(Some)
    }

    /// A client's first one.
    pub(super) async fn read_first(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        Self::rest(from, Vec::new()).await
    }

    async fn rest(from: &mut (impl AsyncRead + Unpin), mut bytes: Vec<u8>) -> io::Result<Self> {
        let length = from.read_u32().await?;
        bytes.extend_from_slice(&length.to_be_bytes());
        let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        let body = body.filter(|body| *body <= LONGEST).ok_or(io::ErrorKind::InvalidData)?;
        let head = bytes.len();
        bytes.resize(head + body, 0);
        from.read_exact(&mut bytes[head..]).await?;
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A client's `COMMIT`.
    pub(super) fn is_commit(&self) -> bool {
        self.0.first() == Some(&b'Q') && self.0.get(5..).is_some_and(|sql| sql.starts_with(b"COMMIT"))
    }

    /// A client's word to carry a prepared statement out.
    pub(super) fn is_execute(&self) -> bool {
        self.0.first() == Some(&b'E')
    }

    /// A client's end of a message: a statement outside of a transaction is committed then.
    pub(super) fn is_sync(&self) -> bool {
        self.0.first() == Some(&b'S')
    }

    /// A server's word that the next command may come, outside of a transaction.
    pub(super) fn is_ready_and_idle(&self) -> bool {
        self.is_ready() && self.0.get(5) == Some(&b'I')
    }

    /// A server's word that the next command may come.
    pub(super) fn is_ready(&self) -> bool {
        self.0.first() == Some(&b'Z')
    }

    /// A server's `NOTIFY`.
    pub(super) fn is_notification(&self) -> bool {
        self.0.first() == Some(&b'A')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_told_apart() {
        let wire = b"\0\0\0\x08\0\x03\0\0Q\0\0\0\x0bCOMMIT\0Q\0\0\0\x0aBEGIN\0";
        let mut from = &wire[..];
        assert_eq!(Frame::read_first(&mut from).await.unwrap().bytes(), &wire[..8]);
        let commit = Frame::read(&mut from).await.unwrap().unwrap();
        assert!(commit.is_commit());
        assert!(!Frame::read(&mut from).await.unwrap().unwrap().is_commit());
        assert!(Frame::read(&mut from).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_length_that_can_not_be_is_an_error() {
        assert!(Frame::read_first(&mut &b"\0\0\0\x01xxxx"[..]).await.is_err());
    }
}
