//! Destinations: what parses is canonical, plain, and read in no other way by the parsers of others.

#![no_main]

use std::net::{IpAddr, ToSocketAddrs};

use libfuzzer_sys::fuzz_target;
use trace_contracts::{Destination, Host, destination::parse_port};

fuzz_target!(|text: &str| {
    if let Ok(port) = parse_port(text) {
        assert_eq!(port.to_string(), text);
    }
    if let Ok(destination) = text.parse::<Destination>() {
        let printed = destination.to_string();
        assert!(printed.eq_ignore_ascii_case(text), "{printed:?} is {text:?}");
        assert_eq!(printed.parse(), Ok(destination.clone()));
        assert_eq!(Destination::parse_with_default_port(text, 1), Ok(destination.clone()));
        assert_ne!(destination.port(), 0);
    }
    match text.parse::<Host>() {
        Ok(Host::Name(name)) => {
            assert!(name.len() <= 253 && !name.ends_with('.') && !name.starts_with('.'));
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)));
            assert!(name.parse::<IpAddr>().is_err(), "a name is no address");
            assert!(inet_aton(&name).is_none(), "{name:?} is an address to a C library");
        }
        Ok(Host::Address(address)) => {
            assert!(address.to_string().eq_ignore_ascii_case(text));
            // The C library reads addresses without asking anybody.
            let read: Vec<_> = (address, 1).to_socket_addrs().unwrap().map(|read| read.ip()).collect();
            assert_eq!(read, [address]);
        }
        Err(_) => {}
    }
});

/// What `inet_aton` makes of a text, written from its manual: one to four parts, each decimal, octal or
/// hexadecimal, the last one filling what is left.
fn inet_aton(text: &str) -> Option<u32> {
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) || *last >= 1 << (8 * (4 - first.len())) {
        return None;
    }
    let high = first.iter().enumerate().fold(0, |sum, (place, part)| sum | (part << (24 - 8 * place)));
    u32::try_from(high | last).ok()
}

fn number(part: &str) -> Option<u64> {
    match part.as_bytes() {
        [b'0', b'x' | b'X', rest @ ..] if !rest.is_empty() => u64::from_str_radix(&part[2..], 16).ok(),
        [b'0', _, ..] => u64::from_str_radix(part, 8).ok(),
        [b'0'..=b'9', ..] => part.parse().ok(),
        _ => None,
    }
}
