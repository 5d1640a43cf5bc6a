//! Names: resolved once, by the gateway alone, and judged by all that they resolve to.

use crate::{
    dns::{Answer, Dns, addresses},
    outside::Outside,
    platform::{Platform, grant, limits, loopback},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

async fn platform(names: Vec<(&'static str, Answer)>) -> (Platform, Dns) {
    let dns = Dns::start(names).await;
    (Platform::with(limits(), loopback(), vec![dns.address]).await, dns)
}

#[tokio::test]
async fn a_name_is_resolved_once_and_dialled_by_that_answer() {
    let first: Vec<_> = vec!["127.0.0.1".parse().unwrap()];
    // The second answer is the one that is denied: whoever asked again would get it.
    let rebound: Vec<_> = vec!["127.0.0.13".parse().unwrap()];
    let (platform, dns) = platform(vec![("rebinding.test", Answer::Addresses(vec![first, rebound]))]).await;
    let outside = Outside::answering(OK).await;
    let forbidden = Outside::at(&format!("127.0.0.13:{}", outside.port()), OK).await;
    let destination = format!("rebinding.test:{}", outside.port());
    let token = platform.token(1, &[grant(&destination)]);
    let address = format!("http://{destination}/");
    assert_eq!(platform.get(&token, &address).await.0, 200);
    assert_eq!(dns.asked("rebinding.test"), 1);
    assert_eq!(platform.get(&token, &address).await.0, 503, "its time to live was 0, so it is asked anew");
    assert_eq!(dns.asked("rebinding.test"), 2);
    assert_eq!(outside.heard().len(), 1);
    assert!(
        outside.heard()[0].contains(&format!("host: {destination}")),
        "the name goes on as it was asked for"
    );
    assert!(forbidden.heard().is_empty());
    let row = platform.denied_by("denied_network").await;
    assert_eq!(row.detail["addresses"], serde_json::json!(["127.0.0.13"]));
}

#[tokio::test]
async fn one_private_address_among_public_ones_refuses_the_name() {
    let (platform, _dns) = platform(vec![
        ("mixed.example.com", addresses(&["1.1.1.1", "10.0.0.1"])),
        ("six.example.com", addresses(&["1.1.1.1", "fd00::1"])),
        ("mapped.example.com", addresses(&["::ffff:10.0.0.1"])),
        ("metadata.example.com", addresses(&["169.254.169.254"])),
        ("alias.example.com", Answer::Alias("inside.example.com")),
        ("inside.example.com", addresses(&["192.168.1.1"])),
    ])
    .await;
    for (name, rule) in [
        ("mixed.example.com:80", "private_use"),
        ("six.example.com:80", "unique_local"),
        ("mapped.example.com:80", "ipv4_mapped"),
        ("metadata.example.com:80", "cloud_metadata"),
        ("alias.example.com:80", "private_use"),
    ] {
        let token = platform.token(1, &[grant(name)]);
        let (answered, answer) = platform.get(&token, &format!("http://{name}/")).await;
        assert_eq!(answered, 503, "{name}");
        assert!(
            !answer.contains(rule) && !answer.contains("10.0"),
            "nothing is told of the network: {answer}"
        );
        let row = platform.audit_of(|entry| entry.object == name).await;
        assert_eq!(row.detail["rule"], rule, "{name}");
    }
}

#[tokio::test]
async fn aliases_are_followed_so_far_and_no_further() {
    const CHAIN: [&str; 11] = [
        "a0.test", "a1.test", "a2.test", "a3.test", "a4.test", "a5.test", "a6.test", "a7.test", "a8.test",
        "a9.test", "a10.test",
    ];
    let mut names: Vec<_> = CHAIN.windows(2).map(|pair| (pair[0], Answer::Alias(pair[1]))).collect();
    names.push(("a10.test", addresses(&["127.0.0.1"])));
    let (platform, _dns) = platform(names).await;
    let outside = Outside::answering(OK).await;
    for (name, expected) in [("a2.test", 200), ("a1.test", 503), ("a0.test", 503)] {
        let destination = format!("{name}:{}", outside.port());
        let token = platform.token(1, &[grant(&destination)]);
        assert_eq!(platform.get(&token, &format!("http://{destination}/")).await.0, expected, "{name}");
    }
    platform.denied_by("long_alias_chain").await;
}

#[tokio::test]
async fn a_name_that_is_not_there_or_not_answered_is_refused() {
    let (platform, dns) = platform(vec![("silent.test", Answer::Silence)]).await;
    for (name, rule) in [("silent.test:80", "name_unanswered"), ("none.test:80", "name_not_found")] {
        let token = platform.token(1, &[grant(name)]);
        assert_eq!(platform.get(&token, &format!("http://{name}/")).await.0, 503, "{name}");
        assert_eq!(platform.audit_of(|entry| entry.object == name).await.detail["rule"], rule);
    }
    // Names without a public meaning are not even asked for.
    let token = platform.token(1, &[grant("db.internal:80")]);
    assert_eq!(platform.get(&token, "http://db.internal/").await.0, 503);
    assert_eq!(dns.asked("db.internal"), 0);
    platform.denied_by("special_name").await;
}
