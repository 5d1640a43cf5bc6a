//! Ports of loopback for programs that tests and benchmarks start, and that can't be given a listener.
//!
//! A port that the kernel has chosen and that was closed again is not free for long: the kernel gives it to the next
//! connection or listener that asks for any, in this process or another, before the program listens. So these
//! come from below the range that the kernel chooses from, and no two processes that ask here get the same.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as LocalAddr, UnixListener},
    },
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

/// Below it are ports of daemons, above it those that Linux gives out by itself (`ip_local_port_range`).
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// Says to others who ask here that a port is taken: a name without a file, which ends with this process.
static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
static TRIED: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that nobody listens on, and that nobody else is given while this process lives.
///
/// # Panics
/// When all 22,000 are taken.
#[must_use]
pub fn reserve() -> u16 {
    (0..COUNT).find_map(|_| reserve_one(next())).expect("a port of 127.0.0.1 is free")
}

/// [`reserve`], as an address.
#[must_use]
pub fn reserve_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, reserve()).into()
}

/// Processes begin at different places, so that they seldom meet.
fn next() -> u16 {
    let start = std::process::id().wrapping_mul(613) % u32::from(COUNT);
    let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
    FIRST + u16::try_from((start + tried) % u32::from(COUNT)).expect("below COUNT")
}

fn reserve_one(port: u16) -> Option<u16> {
    let name = LocalAddr::from_abstract_name(format!("trace-port-{port}")).expect("a short name");
    let reserved = UnixListener::bind_addr(&name).ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(reserved);
    Some(port)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, net::TcpListener};

    use super::{next, reserve, reserve_address, reserve_one};

    #[test]
    fn what_is_reserved_can_be_listened_on_and_is_given_once() {
        let ports: HashSet<u16> = (0..100).map(|_| reserve()).collect();
        assert_eq!(ports.len(), 100);
        assert!(ports.iter().all(|port| reserve_one(*port).is_none()), "reserved already");
        TcpListener::bind(reserve_address()).unwrap();
    }

    #[test]
    fn what_somebody_listens_on_is_not_given() {
        let listener = (0..100).find_map(|_| TcpListener::bind(("127.0.0.1", next())).ok()).unwrap();
        assert_eq!(reserve_one(listener.local_addr().unwrap().port()), None);
    }

    #[test]
    fn the_kernel_gives_none_of_them_to_others() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        assert!(reserve() < first, "the kernel begins at {first}");
    }
}
