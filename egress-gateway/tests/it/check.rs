//! `egress-gateway check`, as people and programs call it.

use std::{net::SocketAddr, process::Command};

use serde_json::{Value, json};

use crate::dns::{Dns, addresses};

struct Checked {
    code: i32,
    out: String,
}

async fn check(arguments: Vec<String>) -> Checked {
    tokio::task::spawn_blocking(move || {
        let output =
            Command::new(env!("CARGO_BIN_EXE_egress-gateway")).arg("check").args(&arguments).output();
        let output = output.unwrap();
        Checked { code: output.status.code().unwrap(), out: String::from_utf8(output.stdout).unwrap() }
    })
    .await
    .unwrap()
}

/// Nobody listens there, so that names are unanswered at once and addresses show that they ask nobody.
const NOBODY: &str = "127.0.0.1:9";

async fn verdict(destination: &str, server: &str) -> (i32, Value) {
    let arguments = ["--json", "--dns-server", server, "--", destination].map(str::to_owned);
    let checked = check(arguments.to_vec()).await;
    (
        checked.code,
        serde_json::from_str(&checked.out).unwrap_or_else(|_| panic!("{destination}: {}", checked.out)),
    )
}

#[tokio::test]
async fn public_addresses_are_allowed() {
    for (text, address) in [
        ("1.1.1.1", "1.1.1.1"),
        ("8.8.8.8:443", "8.8.8.8"),
        ("2606:4700::1111", "2606:4700::1111"),
        ("[2606:4700::1111]", "2606:4700::1111"),
        ("[2606:4700::1111]:8443", "2606:4700::1111"),
    ] {
        let expected = json!({"verdict": "allow", "rule": "public", "addresses": [address]});
        assert_eq!(verdict(text, NOBODY).await, (0, expected), "{text}");
    }
}

#[tokio::test]
async fn every_other_notation_is_denied_by_a_rule() {
    for (text, rule) in [
        ("127.0.0.1", "loopback"),
        ("127.1", "host_almost_address"),
        ("0177.0.0.1", "host_almost_address"),
        ("2130706433", "host_almost_address"),
        ("0x7f.1", "host_almost_address"),
        ("0x7f000001:443", "host_almost_address"),
        ("0", "host_almost_address"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("[::1]:443", "loopback"),
        ("[::1]", "loopback"),
        ("0:0:0:0:0:0:0:1", "host_address_notation"),
        ("::ffff:127.0.0.1", "ipv4_mapped"),
        ("::ffff:7f00:1", "host_address_notation"),
        ("64:ff9b::7f00:1", "nat64"),
        ("[64:ff9b::7f00:1]:443", "nat64"),
        ("2002:7f00:1::", "six_to_four"),
        ("169.254.169.254", "cloud_metadata"),
        ("fd00:ec2::254", "cloud_metadata"),
        ("168.63.129.16", "cloud_metadata"),
        ("metadata.google.internal", "cloud_metadata"),
        ("localhost", "special_name"),
        ("foo.localhost", "special_name"),
        ("LOCALHOST", "special_name"),
        ("localhost.", "host_trailing_dot"),
        ("1.1.1.1.", "host_trailing_dot"),
        ("\u{ff11}\u{ff12}\u{ff17}.0.0.1", "host_not_ascii"),
        ("\u{24d4}xample.com", "host_not_ascii"),
        ("example.com%00", "host_percent"),
        ("fe80::1%eth0", "host_percent"),
        ("http://user@h", "host_userinfo"),
        ("http://h", "host_is_url"),
        ("user@example.com", "host_userinfo"),
        ("example.com:0", "port_invalid"),
        ("example.com:65536", "port_invalid"),
        ("example.com:", "port_invalid"),
        ("1.1.1.1:080", "port_invalid"),
        ("[1.1.1.1]", "host_brackets"),
        ("-x.example.com", "host_label"),
        ("--help", "host_label"),
        ("a b", "host_whitespace"),
        ("a\nb", "host_whitespace"),
        ("", "host_empty"),
        ("10.0.0.1", "private_use"),
        ("100.64.0.1", "shared_address_space"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("example.com", "name_unanswered"),
    ] {
        let (code, answer) = verdict(text, NOBODY).await;
        assert_eq!(
            (code, &answer["verdict"], &answer["rule"]),
            (1, &json!("deny"), &json!(rule)),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn names_are_looked_up_and_all_of_their_addresses_judged() {
    let dns = Dns::start(vec![
        ("good.example.com", addresses(&["1.1.1.1", "2606:4700::1111"])),
        ("bad.example.com", addresses(&["1.1.1.1", "10.0.0.1"])),
    ])
    .await;
    let server = dns.address.to_string();
    assert_eq!(
        verdict("good.example.com", &server).await,
        (0, json!({"verdict": "allow", "rule": "public", "addresses": ["1.1.1.1", "2606:4700::1111"]}))
    );
    assert_eq!(
        verdict("bad.example.com", &server).await,
        (1, json!({"verdict": "deny", "rule": "private_use", "addresses": ["1.1.1.1", "10.0.0.1"]}))
    );
    assert_eq!(verdict("none.example.com", &server).await.1["rule"], "name_not_found");
}

#[tokio::test]
async fn a_policy_denies_and_allows_private_places() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    let policy = json!({
        "deny": {"networks": ["8.8.8.0/24"]},
        "allow_private": {"networks": ["10.1.0.0/16", "169.254.0.0/16"]},
    });
    std::fs::write(&file, policy.to_string()).unwrap();
    let with = async |destination: &str| {
        let path = file.to_str().unwrap();
        check(vec![destination.to_owned(), "--policy".to_owned(), path.to_owned()]).await
    };
    let allowed = with("10.1.2.3").await;
    assert_eq!((allowed.code, allowed.out.as_str()), (0, "allow (allowed_private) 10.1.2.3\n"));
    assert_eq!(with("8.8.8.8").await.out, "deny (denied_network) 8.8.8.8\n");
    assert_eq!(with("169.254.169.254").await.out, "deny (cloud_metadata) 169.254.169.254\n");
    assert_eq!(with("10.2.0.1").await.code, 1);
    std::fs::write(&file, r#"{"alow": {}}"#).unwrap();
    assert_eq!(with("1.1.1.1").await.code, 2, "a policy that can't be read judges nothing");
    let missing = check(vec!["1.1.1.1".to_owned(), "--policy".to_owned(), "/nowhere".to_owned()]).await;
    assert_eq!((missing.code, missing.out.as_str()), (2, ""));
    assert_eq!(check(Vec::new()).await.code, 2);
}

/// Without anybody to ask, a name is a verdict and no crash.
#[tokio::test]
async fn silence_is_bounded() {
    let silent: SocketAddr = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::mem::forget(socket);
        address
    };
    let (code, answer) = verdict("example.com", &silent.to_string()).await;
    assert_eq!((code, &answer["rule"]), (1, &json!("name_unanswered")));
}

#[tokio::test]
async fn a_configuration_is_tried_without_its_files_and_without_a_connection() {
    let folder = tempfile::TempDir::new().unwrap();
    let said = async |change: fn(&mut Value)| {
        let mut config = json!({
            "listen": "0.0.0.0:8088",
            "transport": { "tls": { "certificate": "/nowhere/tls.pem", "key": "/nowhere/tls.key" } },
            "service": {
                "dispatcher": "https://dispatcher.invalid/", "identity": "hush", "ca_file": "/nowhere/ca.pem",
                "capabilities": { "issuer": "trace", "jwks": "https://dispatcher.invalid/jwks" },
            },
        });
        change(&mut config);
        let path = folder.path().join("egress.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_egress-gateway"));
        command.args(["check-config", "--config"]).arg(path);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(said(|_| {}).await, (true, String::new()));
    for (change, words) in [
        ((|c| c["transport"] = "loopback".into()) as fn(&mut Value), "`transport: plain`"),
        (|c| c["service"]["dispatcher"] = "http://dispatcher.invalid/".into(), "`plain_http: allow`"),
        (|c| c["service"]["domains"] = json!([]), "unknown field `domains`"),
    ] {
        let (taken, said) = said(change).await;
        assert!(!taken && said.contains(words) && said.contains("egress.json"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
}
