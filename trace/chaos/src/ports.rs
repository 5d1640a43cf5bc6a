//! Ports for processes that have to come back at the same one.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::bail;

/// Below the range that the kernel hands out by itself.
const FIRST: u16 = 15_000;
const LAST: u16 = 31_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback port that nobody listens at now, and that this process hands out once.
///
/// # Errors
/// When there is none.
pub fn free() -> anyhow::Result<u16> {
    let start = u16::try_from(std::process::id() % u32::from(LAST - FIRST)).unwrap_or(0);
    for _ in FIRST..LAST {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(offset) % (LAST - FIRST);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free");
}
