use proptest::prelude::*;
use serde_json::json;

use super::*;

fn policy(file: serde_json::Value) -> Policy {
    Policy::new(serde_json::from_value(file).unwrap())
}

fn judge(policy: &Policy, address: &str) -> &'static str {
    policy.judge(address.parse().unwrap()).map_or_else(Rule::as_str, Permission::as_str)
}

fn admit(policy: &Policy, host: &str) -> &'static str {
    policy.admit(&host.parse().unwrap()).map_or_else(Rule::as_str, |_| "admitted")
}

/// The first and the last address of each block, and its neighbours outside.
#[test]
fn every_special_purpose_block_of_ipv4_is_refused_to_its_ends() {
    let policy = Policy::default();
    for (rule, inside) in [
        ("unspecified", ["0.0.0.0", "0.255.255.255"]),
        ("private_use", ["10.0.0.0", "10.255.255.255"]),
        ("shared_address_space", ["100.64.0.0", "100.127.255.255"]),
        ("loopback", ["127.0.0.0", "127.255.255.255"]),
        ("link_local", ["169.254.0.0", "169.254.255.255"]),
        ("private_use", ["172.16.0.0", "172.31.255.255"]),
        ("protocol_assignments", ["192.0.0.0", "192.0.0.255"]),
        ("documentation", ["192.0.2.0", "192.0.2.255"]),
        ("as112", ["192.31.196.0", "192.31.196.255"]),
        ("amt", ["192.52.193.0", "192.52.193.255"]),
        ("six_to_four", ["192.88.99.0", "192.88.99.255"]),
        ("private_use", ["192.168.0.0", "192.168.255.255"]),
        ("as112", ["192.175.48.0", "192.175.48.255"]),
        ("benchmarking", ["198.18.0.0", "198.19.255.255"]),
        ("documentation", ["198.51.100.0", "198.51.100.255"]),
        ("documentation", ["203.0.113.0", "203.0.113.255"]),
        ("multicast", ["224.0.0.0", "239.255.255.255"]),
        ("documentation", ["233.252.0.0", "233.252.0.255"]),
        ("reserved", ["240.0.0.0", "255.255.255.254"]),
        ("broadcast", ["255.255.255.255", "255.255.255.255"]),
    ] {
        for address in inside {
            assert_eq!(judge(&policy, address), rule, "{address}");
        }
    }
    for address in [
        "1.0.0.0",
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.31.195.255",
        "192.31.197.0",
        "192.52.192.255",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "192.175.49.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
    ] {
        assert_eq!(judge(&policy, address), "public", "{address}");
    }
}

#[test]
fn every_special_purpose_block_of_ipv6_is_refused_to_its_ends() {
    let policy = Policy::default();
    for (rule, addresses) in [
        ("loopback", &["::1"][..]),
        ("unspecified", &["::"]),
        ("ipv4_mapped", &["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:ffff:ffff"]),
        ("ipv4_compatible", &["::2", "::127.0.0.1", "::8.8.8.8"]),
        ("ipv4_translated", &["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"]),
        ("nat64", &["64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b::ffff:ffff"]),
        ("local_nat64", &["64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"]),
        ("discard_only", &["100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::"]),
        ("teredo", &["2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"]),
        ("protocol_assignments", &["2001:1::1", "2001:1::3", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"]),
        ("benchmarking", &["2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"]),
        ("amt", &["2001:3::", "2001:3:ffff::"]),
        ("as112", &["2001:4:112::", "2620:4f:8000::"]),
        ("orchid", &["2001:10::", "2001:1f:ffff::", "2001:20::", "2001:2f:ffff::", "2001:30::", "2001:3f::"]),
        ("documentation", &["2001:db8::", "2001:db8:ffff::", "3fff::", "3fff:fff:ffff::"]),
        ("six_to_four", &["2002::", "2002:7f00:1::", "2002:808:808::1", "2002:ffff::"]),
        ("segment_routing", &["5f00::", "5f00:ffff::"]),
        ("unique_local", &["fc00::", "fd00::1", "fdff:ffff::"]),
        ("link_local", &["fe80::", "fe80::1", "febf:ffff::"]),
        ("site_local", &["fec0::", "feff:ffff::"]),
        ("multicast", &["ff00::", "ff02::1", "ffff::"]),
        ("isatap", &["2600::5efe:7f00:1", "2600::200:5efe:808:808"]),
        ("unallocated", &["1::", "200::1", "1fff::", "4000::", "6000::", "fb00::", "3ffe::1", "100:0:0:2::"]),
    ] {
        for address in addresses {
            assert_eq!(judge(&policy, address), rule, "{address}");
        }
    }
    for address in [
        "2000::",
        "2001:200::",
        "2001:db7:ffff::",
        "2001:db9::",
        "2003::",
        "2606:4700::1111",
        "2001:4860:4860::8888",
        "2620:4f:7fff::",
        "2620:4f:8001::",
        "2a00::1",
        "3ffd:ffff::",
        "3fff:1000::",
        "2600::5eff:7f00:1",
    ] {
        assert_eq!(judge(&policy, address), "public", "{address}");
    }
}

const EVERYTHING: [&str; 2] = ["0.0.0.0/0", "::/0"];

#[test]
fn metadata_services_are_refused_whatever_the_operator_allows() {
    let policy =
        policy(json!({ "allow_private": { "networks": EVERYTHING, "hosts": ["*.internal", "*.goog"] } }));
    assert_eq!(judge(&policy, "127.0.0.1"), "allowed_private");
    assert_eq!(judge(&policy, "fd00::1"), "allowed_private");
    for address in [
        "169.254.169.254",
        "169.254.169.253",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.42.42",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::253",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "::ffff:0:169.254.169.254",
        "2001:0:a9fe:a9fe::",
        "2001::5601:5601",
        "fe80::5efe:a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:0:a9:fea9:fe00:0",
        "64:ff9b:1::a9fe:a9fe",
    ] {
        assert_eq!(judge(&policy, address), "cloud_metadata", "{address}");
    }
    for name in ["metadata.google.internal", "metadata.goog", "a.metadata.goog", "instance-data.ec2.internal"]
    {
        assert_eq!(admit(&policy, name), "cloud_metadata", "{name}");
    }
    assert_eq!(admit(&policy, "db.internal"), "admitted");
}

#[test]
fn names_without_a_public_meaning_are_not_looked_up() {
    let policy = Policy::default();
    for name in [
        "localhost",
        "foo.localhost",
        "a.b.localhost",
        "printer.local",
        "db.internal",
        "router.home.arpa",
        "1.0.0.127.in-addr.arpa",
        "ipv4only.arpa",
        "x.onion",
        "x.test",
        "x.invalid",
        "x.example",
        "x.alt",
        "nas.lan",
        "intranet",
        "localhost.localdomain",
        "mail.corp",
    ] {
        assert_eq!(admit(&policy, name), "special_name", "{name}");
    }
    for name in
        ["example.com", "local.example.com", "notlocalhost.com", "internal.com", "mylocal.dev", "x.locals"]
    {
        assert_eq!(admit(&policy, name), "admitted", "{name}");
    }
}

#[test]
fn what_the_operator_denies_beats_what_the_operator_allows() {
    let policy = policy(json!({
        "deny": { "hosts": ["bad.example.com", "*.worse.example.com"], "networks": ["8.8.8.0/24", "10.1.0.0/16"] },
        "allow_private": { "hosts": ["*.test"], "networks": ["10.0.0.0/8", "64:ff9b::/96"] },
    }));
    assert_eq!(admit(&policy, "bad.example.com"), "denied_host");
    assert_eq!(admit(&policy, "x.bad.example.com"), "admitted");
    assert_eq!(admit(&policy, "worse.example.com"), "admitted");
    assert_eq!(admit(&policy, "a.b.worse.example.com"), "denied_host");
    assert_eq!(admit(&policy, "notworse.example.com"), "admitted");
    assert_eq!(admit(&policy, "a.test"), "admitted");
    assert_eq!(admit(&policy, "test"), "special_name");
    assert_eq!(judge(&policy, "8.8.8.8"), "denied_network");
    assert_eq!(judge(&policy, "8.8.4.4"), "public");
    assert_eq!(judge(&policy, "10.0.0.1"), "allowed_private");
    assert_eq!(judge(&policy, "10.1.0.1"), "denied_network");
    assert_eq!(judge(&policy, "192.168.0.1"), "private_use");
    // A translator that is allowed reaches what would be allowed without it.
    assert_eq!(judge(&policy, "64:ff9b::10.0.0.1"), "allowed_private");
    assert_eq!(judge(&policy, "64:ff9b::1.1.1.1"), "allowed_private");
    assert_eq!(judge(&policy, "64:ff9b::8.8.8.8"), "denied_network");
    assert_eq!(judge(&policy, "64:ff9b::127.0.0.1"), "loopback");
}

#[test]
fn one_bad_address_refuses_all_of_them() {
    let destination: Destination = "example.com:443".parse().unwrap();
    let vet = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Policy::default().vet(&destination, addresses)
    };
    let vetted = vet(&["1.1.1.1", "2606:4700::1111"]).unwrap();
    assert_eq!(
        vetted.addresses(),
        ["1.1.1.1:443".parse().unwrap(), "[2606:4700::1111]:443".parse().unwrap()]
    );
    assert_eq!(vet(&["1.1.1.1", "10.0.0.1"]).unwrap_err().rule.as_str(), "private_use");
    assert_eq!(vet(&["10.0.0.1", "1.1.1.1"]).unwrap_err().addresses.len(), 2);
    assert_eq!(vet(&[]).unwrap_err().rule, Rule::NameNotFound);
    assert!(vet(&["1.1.1.1"; MAX_ADDRESSES]).is_ok());
    assert_eq!(vet(&["1.1.1.1"; MAX_ADDRESSES + 1]).unwrap_err().rule, Rule::TooManyAddresses);
}

#[test]
fn an_operators_file_is_strict() {
    for text in [
        r#"{"denny": {}}"#,
        r#"{"deny": {"host": []}}"#,
        r#"{"deny": {"hosts": ["*"]}}"#,
        r#"{"deny": {"hosts": ["a.*.com"]}}"#,
        r#"{"deny": {"hosts": ["http://a.com"]}}"#,
        r#"{"deny": {"networks": ["10.0.0.0/33"]}}"#,
        r#"{"deny": {"networks": ["10.0.0"]}}"#,
    ] {
        assert!(serde_json::from_str::<File>(text).is_err(), "{text}");
    }
}

proptest! {
    /// What can be reached without an operator's word is reached by no other spelling of something else.
    #[test]
    fn nothing_private_is_public_in_another_form(octets: [u8; 4], low: u64) {
        let v4 = Ipv4Addr::from(octets);
        let policy = Policy::default();
        let bits = u128::from(v4.to_bits());
        for embedding in [
            bits, (0xffff_u128 << 32) | bits, (0xffff_u128 << 48) | bits, (0x0064_ff9b_u128 << 96) | bits,
            (0x2002_u128 << 112) | (bits << 80) | u128::from(low), (0x2001_u128 << 112) | u128::from(low),
            (0x2600_u128 << 112) | (0x5efe_u128 << 32) | bits,
        ] {
            let address = IpAddr::V6(Ipv6Addr::from(embedding));
            prop_assert!(policy.judge(address).is_err(), "{}", address);
        }
    }
}
