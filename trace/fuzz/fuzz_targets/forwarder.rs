//! The forwarder: bytes arrive as they were sent, in both directions, however they are cut into pieces
//! and in whatever order the ends close.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use trace_worker_wrapper::fuzzing::forward;

#[derive(Debug, Arbitrary)]
struct Input {
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
    /// How often each piece is repeated, so that some are larger than any buffer.
    times: u8,
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());

fuzz_target!(|input: Input| {
    let large = |pieces: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        pieces.into_iter().take(16).map(|piece| piece.repeat(usize::from(input.times) + 1)).collect()
    };
    let (up, down) = (large(input.up), large(input.down));
    RUNTIME.block_on(async {
        let (upstream, listener) = (listen().await, listen().await);
        let address = upstream.local_addr().unwrap();
        let inside = async {
            let (inside, _) = listener.accept().await.unwrap();
            forward(inside, address).await.unwrap();
        };
        let outside = async {
            let (stream, _) = upstream.accept().await.unwrap();
            talk(stream, &down).await
        };
        let program = async {
            talk(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap(), &up).await
        };
        let ((), arrived_up, arrived_down) = tokio::join!(inside, outside, program);
        assert_eq!(arrived_up, up.concat());
        assert_eq!(arrived_down, down.concat());
    });
});

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Sends the pieces, closes its direction, and answers what it received.
async fn talk(stream: TcpStream, pieces: &[Vec<u8>]) -> Vec<u8> {
    let (mut read, mut write) = stream.into_split();
    let mut received = Vec::new();
    let send = async {
        for piece in pieces {
            write.write_all(piece).await.unwrap();
        }
        write.shutdown().await.unwrap();
    };
    let ((), got) = tokio::join!(send, read.read_to_end(&mut received));
    got.unwrap();
    received
}
