//! Ports for processes that have to come back at the same one.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::bail;

/// Below the range that the kernel hands out by itself.
const FIRST: u16 = 15_000;
const COUNT: u16 = 16_000;

/// Begins anywhere, so that two harnesses at the same time do not go for the same ones.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random()));

/// A loopback port that nobody listens at now, and that this process hands out once.
///
/// # Errors
/// When there is none.
pub fn free() -> anyhow::Result<u16> {
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free");
}
