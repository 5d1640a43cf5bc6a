use proptest::prelude::*;

use super::{InvalidDestination as E, *};

#[test]
fn one_spelling_is_taken_and_printed_again() {
    for (text, printed) in [
        ("example.com:443", "example.com:443"),
        ("Example.COM:443", "example.com:443"),
        ("xn--bcher-kva.example:8443", "xn--bcher-kva.example:8443"),
        ("a--b.c-d.e1:1", "a--b.c-d.e1:1"),
        ("1.example:65535", "1.example:65535"),
        ("0x7f.example:80", "0x7f.example:80"),
        ("localhost:80", "localhost:80"),
        ("1.1.1.1:53", "1.1.1.1:53"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("[2001:DB8::A]:443", "[2001:db8::a]:443"),
        ("[::]:443", "[::]:443"),
        ("[::ffff:127.0.0.1]:443", "[::ffff:127.0.0.1]:443"),
    ] {
        let destination: Destination = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(destination.to_string(), printed);
        assert_eq!(printed.parse::<Destination>(), Ok(destination));
    }
}

#[test]
fn names_of_hosts_are_strict() {
    let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(61));
    assert_eq!(longest.len(), 253);
    assert!(longest.parse::<HostName>().is_ok());
    for (text, error) in [
        ("", E::Empty),
        (".", E::TrailingDot),
        ("a.", E::TrailingDot),
        ("1.1.1.1.", E::TrailingDot),
        (".a", E::Label),
        ("a..b", E::Label),
        ("-a.b", E::Label),
        ("a-.b", E::Label),
        ("a_b.c", E::Character),
        ("*.example.com", E::Character),
        ("a,b", E::Character),
        ("a;b", E::Character),
        ("a b", E::Whitespace),
        ("a\tb", E::Whitespace),
        ("a\n", E::Whitespace),
        ("a\0.example.com", E::Whitespace),
        ("\u{7f}", E::Whitespace),
        ("a%00", E::Percent),
        ("%31%32%37.0.0.1", E::Percent),
        ("user@host", E::UserInfo),
        ("user:password@host", E::UserInfo),
        ("http://host", E::Url),
        ("host/path", E::Url),
        ("host?query", E::Url),
        ("host#fragment", E::Url),
        ("host\\path", E::Url),
        ("bücher.example", E::NotAscii),
        ("\u{24d4}xample.com", E::NotAscii),
        ("\u{ff11}\u{ff12}\u{ff17}.0.0.1", E::NotAscii),
        ("example\u{3002}com", E::NotAscii),
        ("\u{200b}example.com", E::NotAscii),
        ("[::1]", E::Brackets),
        ("[example.com]", E::Brackets),
        (&"a".repeat(64), E::TooLong),
        (&format!("{longest}a"), E::TooLong),
        (&"a.".repeat(500), E::TooLong),
    ] {
        assert_eq!(text.parse::<Host>(), Err(error), "{text:?}");
    }
}

/// Every notation that `inet_aton`, browsers or `getaddrinfo` read as an address.
#[test]
fn almost_addresses_are_refused() {
    for text in [
        "127.1",
        "127.0.1",
        "0",
        "1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.0x1",
        "0X7F.1",
        "256.1.1.1",
        "1.2.3.4.5",
        "1.2.3.4.5.6",
        "999999999999999999999",
        "0x",
        "127.0x",
        "a.1",
        "example.0x1",
        "00.00.00.00",
        "4294967296",
        "09.1",
    ] {
        assert_eq!(text.parse::<Host>(), Err(E::AlmostAddress), "{text:?}");
    }
    for text in [
        "1:2",
        "::ffff:7f00:1",
        "0:0:0:0:0:0:0:1",
        "::0",
        "::01",
        "2001:db8:0:0:1::1",
        ":::",
        "::1::",
        "12345::",
        "1::2:3:4:5:6:7:8:9",
        "::ffff:127.0.0.01",
        "::1.2.3",
        "fe80:",
    ] {
        assert_eq!(text.parse::<Host>(), Err(E::AddressNotation), "{text:?}");
    }
    for text in ["fe80::1%eth0", "fe80::1%25eth0", "fe80::1%1"] {
        assert_eq!(text.parse::<Host>(), Err(E::Percent), "{text:?}");
    }
}

#[test]
fn ports_and_brackets_are_strict() {
    for (text, error) in [
        ("example.com", E::NoPort),
        ("[::1]", E::NoPort),
        ("example.com:", E::Port),
        ("example.com:0", E::Port),
        ("example.com:00", E::Port),
        ("example.com:0443", E::Port),
        ("example.com:65536", E::Port),
        ("example.com:443443", E::Port),
        ("example.com:+443", E::Port),
        ("example.com:-1", E::Port),
        ("example.com:https", E::Port),
        ("example.com:4 3", E::Whitespace),
        ("example.com:0x1bb", E::Port),
        (":443", E::Empty),
        ("::1:443", E::Brackets),
        ("a:b:443", E::Brackets),
        ("[::1", E::Brackets),
        ("[::1]443", E::Brackets),
        ("[::1]]:443", E::Brackets),
        ("[[::1]]:443", E::Brackets),
        ("[1.1.1.1]:443", E::Brackets),
        ("[example.com]:443", E::Brackets),
        ("[]:443", E::Brackets),
        ("[::1]x:443", E::Brackets),
        ("::1]:443", E::Brackets),
        ("[::1%25lo]:443", E::Percent),
        ("http://example.com:443", E::Url),
        ("user@example.com:443", E::UserInfo),
    ] {
        assert_eq!(text.parse::<Destination>(), Err(error), "{text:?}");
    }
}

#[test]
fn a_port_may_be_left_out_where_that_is_said() {
    for (text, printed) in [
        ("example.com", "example.com:443"),
        ("example.com:80", "example.com:80"),
        ("1.1.1.1", "1.1.1.1:443"),
        ("2001:db8::1", "[2001:db8::1]:443"),
        ("[2001:db8::1]", "[2001:db8::1]:443"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
    ] {
        let destination = Destination::parse_with_default_port(text, 443).unwrap();
        assert_eq!(destination.to_string(), printed);
    }
    for (text, error) in [
        ("", E::Empty),
        ("example.com:", E::Port),
        ("[1.1.1.1]", E::Brackets),
        ("[::1", E::Brackets),
        ("127.1", E::AlmostAddress),
        ("127.1:443", E::AlmostAddress),
        ("2001:db8::0:1:443:", E::AddressNotation),
    ] {
        assert_eq!(Destination::parse_with_default_port(text, 443), Err(error), "{text:?}");
    }
}

#[test]
fn a_token_has_few_grants_and_one_a_destination() {
    #[derive(Deserialize)]
    struct Read(#[serde(deserialize_with = "read_egress_grants")] Vec<EgressGrant>);
    let grant = |port: usize| serde_json::json!({"destination": format!("example.com:{port}"), "max_bytes": 1, "max_requests": 1});
    let read = |ports: &[usize]| {
        serde_json::from_value::<Read>(ports.iter().map(|port| grant(*port)).collect())
            .map(|read| read.0.len())
    };
    let many: Vec<usize> = (1..=MAX_EGRESS_GRANTS).collect();
    assert_eq!(read(&many).unwrap(), MAX_EGRESS_GRANTS);
    let more: Vec<usize> = (1..=MAX_EGRESS_GRANTS + 1).collect();
    assert!(read(&more).is_err());
    assert!(read(&[443, 80, 443]).is_err());
}

proptest! {
    /// Whatever is taken prints as something that is taken and means the same, and is plain.
    #[test]
    fn what_is_taken_is_canonical(text in "[a-zA-Z0-9.:\\[\\]@%/_ -]{0,40}|\\PC{0,20}") {
        if let Ok(destination) = text.parse::<Destination>() {
            let printed = destination.to_string();
            prop_assert_eq!(printed.to_ascii_lowercase(), text.to_ascii_lowercase());
            prop_assert_eq!(printed.parse::<Destination>(), Ok(destination));
        }
        if let Ok(Host::Name(name)) = text.parse::<Host>() {
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)));
            prop_assert!(name.parse::<IpAddr>().is_err());
        }
    }

    /// No C library reads a name that is taken as an address.
    #[test]
    fn no_number_passes_for_a_name(number: u32, parts in 0_usize..4, base in 0_usize..3) {
        let write = |n: u32| match base { 0 => n.to_string(), 1 => format!("0{n:o}"), _ => format!("0x{n:x}") };
        let octets = number.to_be_bytes();
        let mut texts: Vec<String> = octets[..parts].iter().map(|octet| write((*octet).into())).collect();
        let rest = octets[parts..].iter().fold(0_u32, |rest, octet| (rest << 8) | u32::from(*octet));
        texts.push(write(rest));
        let text = texts.join(".");
        prop_assert!(!matches!(text.parse::<Host>(), Ok(Host::Name(_))), "{}", text);
    }

    /// Every address is read back from how it is printed.
    #[test]
    fn every_address_has_its_notation(v4: u32, v6: u128, port in 1_u16..) {
        for address in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())] {
            let destination = Destination::new(Host::Address(address), port).unwrap();
            prop_assert_eq!(destination.to_string().parse::<Destination>(), Ok(destination));
        }
    }
}
