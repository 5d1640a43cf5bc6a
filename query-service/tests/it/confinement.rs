//! What an engine can't do, seen from outside.

use std::fs;

use crate::{engines::running, platform::Platform};

#[tokio::test]
async fn an_engine_has_nothing_but_its_pipes() {
    let platform = Platform::start().await;
    let pid = running(&platform)[0];
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(field("NoNewPrivs:"), "1");
    assert!(!field("Uid:").split_whitespace().any(|uid| uid == "0"), "an engine is never root");
    assert_eq!(u64::from_str_radix(&field("CapEff:"), 16).unwrap(), 0);

    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = |name: &str| {
        limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max file size"), "0");
    assert_ne!(limit("Max data size"), "unlimited");
    assert_ne!(limit("Max address space"), "unlimited");

    // Only a privileged observer may look at these, since the engine is not dumpable.
    if nix::unistd::getuid().is_root() {
        assert!(fs::read(format!("/proc/{pid}/environ")).unwrap().is_empty(), "no environment");
        let targets: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned())
            .collect();
        let own = |target: &str| {
            target.starts_with("pipe:") || target.starts_with("anon_inode:") || target.starts_with("socket:")
        };
        assert!(targets.iter().all(|target| own(target)), "{targets:?}");
    }
}
