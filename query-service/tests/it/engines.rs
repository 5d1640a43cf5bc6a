//! Engines are killed and replaced, and the service goes on.

use std::{fs, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use trace_query_service::config::{Engines, Limits};

use crate::platform::{Platform, limits};

/// Hours of work that yields nothing.
pub const SLOW: &str = "SELECT sum(a.flight * b.flight - c.flight * d.flight + e.flight * f.flight - g.flight) \
    FROM flights a, flights b, flights c, flights d, flights e, flights f, flights g, flights h, flights i, flights j";

/// The processes that were started by this path.
pub fn running(platform: &Platform) -> Vec<Pid> {
    let program = platform.engine.to_str().unwrap();
    let started_by = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(program.as_bytes()))
    };
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(started_by).map(Pid::from_raw).collect()
}

/// Waits until the processes are as `wanted`.
pub async fn until(platform: &Platform, wanted: impl Fn(&[Pid]) -> bool) -> Vec<Pid> {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    // A look takes a while where much runs, and the service under test runs in this thread, too.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let found = async {
        loop {
            looks.tick().await;
            let pids = running(platform);
            if wanted(&pids) {
                return pids;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("the engines did not get there")
}

pub async fn still_answers(platform: &Platform, token: &str) {
    assert_eq!(platform.ask(token, "SELECT count(*) FROM flights").await.unwrap(), json!([[12]]));
}

fn code(problem: Result<Value, Value>) -> String {
    problem.expect_err("a refusal")["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_query_over_time_is_killed_and_its_engine_replaced() {
    let limits = Limits { deadline_ms: 1_500, ..limits() };
    let platform = Platform::with(limits, Engines { count: 1, ..Engines::default() }).await;
    let token = platform.flights_token(1);
    let before = until(&platform, |pids| pids.len() == 1).await;
    let problem = platform.ask(&token, SLOW).await.unwrap_err();
    assert_eq!(problem["code"], "timed_out");
    assert_eq!(
        problem["detail"],
        "the query took longer than 1.5s; read fewer rows or columns, or aggregate in steps"
    );
    until(&platform, |pids| pids.len() == 1 && pids != before).await;
    still_answers(&platform, &token).await;
}

#[tokio::test]
async fn an_engine_that_dies_in_a_query_is_replaced() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    let before = until(&platform, |pids| pids.len() == 1).await;
    let murder = async {
        until_busy(&platform, before[0]).await;
        kill(before[0], Signal::SIGKILL).unwrap();
    };
    let (answer, ()) = tokio::join!(platform.ask(&token, SLOW), murder);
    let problem = answer.unwrap_err();
    assert_eq!(problem["code"], "internal");
    assert!(problem["detail"].as_str().unwrap().contains("ended unexpectedly (signal 9)"), "{problem}");
    still_answers(&platform, &token).await;
}

/// Processor time of a process, in ticks.
fn ticks(pid: Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Waits until the process has computed for a third of a second more.
pub async fn until_busy(platform: &Platform, pid: Pid) {
    let rest = ticks(pid);
    until(platform, |_| ticks(pid) > rest + 33).await;
}

#[tokio::test]
async fn an_engine_that_dies_at_rest_is_replaced() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    let before = until(&platform, |pids| pids.len() == 1).await;
    kill(before[0], Signal::SIGKILL).unwrap();
    still_answers(&platform, &token).await;
}

#[tokio::test]
async fn memory_is_bounded_twice() {
    let engines = Engines { count: 1, memory_bytes: 128 << 20, ..Engines::default() };
    let platform = Platform::with(limits(), engines).await;
    let token = platform.flights_token(1);
    // What operators account for ends with an error of the engine's own.
    let sorted = "SELECT * FROM flights a, flights b, flights c, flights d, flights e, flights f, flights g \
        ORDER BY a.flight, b.flight";
    let problem = platform.ask(&token, sorted).await.unwrap_err();
    assert_eq!(problem["code"], "limit_exceeded", "{problem}");
    // What they do not ends with the kernel refusing, and the engine dying.
    let before = until(&platform, |pids| pids.len() == 1).await;
    let mut bomb = "'aaaaaaaaaa'".to_owned();
    for _ in 0..8 {
        bomb = format!("replace({bomb}, 'a', 'aaaaaaaaaaaaaaaaaaaa')");
    }
    let problem = platform.ask(&token, &format!("SELECT length({bomb})")).await.unwrap_err();
    assert_eq!(problem["code"], "limit_exceeded", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("more memory"), "{problem}");
    until(&platform, |pids| pids.len() == 1 && pids != before).await;
    still_answers(&platform, &token).await;
}

/// Long chains and deep nests are refused, and no engine dies of them.
#[tokio::test]
async fn no_statement_overflows_a_stack() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    let before = until(&platform, |pids| pids.len() == 1).await;
    for statement in [
        format!("SELECT {}", vec!["1"; 4_900].join("+")),
        format!("SELECT {}", vec!["true"; 4_900].join(" AND ")),
        format!("SELECT {}", vec!["'a'"; 4_900].join("||")),
        format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(2_400)),
        format!("SELECT {}1{}", "(".repeat(4_900), ")".repeat(4_900)),
        format!("SELECT {}1{}", "abs(".repeat(3_000), ")".repeat(3_000)),
        format!("SELECT {}1", "- ".repeat(9_000)),
    ] {
        let problem = platform.ask(&token, &statement).await.unwrap_err();
        assert_eq!(problem["code"], "sql_refused", "{problem}");
    }
    assert_eq!(running(&platform), before);
    let numbers: Vec<_> = (0..4_900).map(|n| n.to_string()).collect();
    let listed = format!("SELECT count(*) FROM flights WHERE flight IN ({})", numbers.join(","));
    assert_eq!(platform.ask(&token, &listed).await.unwrap(), json!([[12]]), "a long list is fine");
}

#[tokio::test]
async fn a_query_ends_with_its_attempt() {
    let platform = Platform::start().await;
    let token = platform.flights_token(9);
    let before = until(&platform, |pids| pids.len() == 1).await;
    let revoke = async {
        until_busy(&platform, before[0]).await;
        platform.kill_attempt(9);
    };
    let (answer, ()) = tokio::join!(platform.ask(&token, SLOW), revoke);
    assert_eq!(code(answer), "revoked");
    until(&platform, |pids| pids.len() == 1 && pids != before).await;
    let entry = platform.audit_of(|entry| entry.detail["outcome"] == "revoked").await;
    assert_eq!(serde_json::to_value(entry.verdict).unwrap(), "deny");
    still_answers(&platform, &platform.flights_token(10)).await;
}

#[tokio::test]
async fn hanging_up_ends_the_query_and_is_audited() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    let before = until(&platform, |pids| pids.len() == 1).await;
    let ask = platform.ask(&token, SLOW);
    tokio::select! {
        answer = ask => panic!("it can't be done: {answer:?}"),
        () = until_busy(&platform, before[0]) => {}
    }
    platform.audit_of(|entry| entry.detail["outcome"] == "bad_request").await;
    until(&platform, |pids| pids.len() == 1 && pids != before).await;
    still_answers(&platform, &token).await;
}

#[tokio::test]
async fn more_queries_than_may_wait_are_turned_away() {
    let limits = Limits { deadline_ms: 3_000, waiting: 1, per_org: 3, ..limits() };
    let platform = Platform::with(limits, Engines { count: 1, ..Engines::default() }).await;
    let token = platform.flights_token(1);
    let answers = futures::future::join_all((0..5).map(|_| platform.ask(&token, SLOW))).await;
    let mut codes: Vec<_> = answers.into_iter().map(code).collect();
    codes.sort();
    // One ran, one waited, one found no place to wait, two were more than the org may have.
    assert_eq!(
        codes,
        ["timed_out", "timed_out", "too_many_requests", "too_many_requests", "too_many_requests"]
    );
    still_answers(&platform, &token).await;
}

#[tokio::test]
async fn an_engine_serves_one_org_only_and_a_bounded_number_of_queries() {
    let engines = Engines { count: 1, queries: 2, ..Engines::default() };
    let platform = Platform::with(limits(), engines).await;
    let token = platform.flights_token(1);
    let first = until(&platform, |pids| pids.len() == 1).await;
    still_answers(&platform, &token).await;
    assert_eq!(running(&platform), first, "the same org, the same engine");
    still_answers(&platform, &token).await;
    let second = until(&platform, |pids| pids.len() == 1 && pids != first).await;
    still_answers(&platform, &token).await;
    let mut claims = crate::tokens::claims(2, crate::platform::grants(&[], Default::default()));
    claims.org = trace_contracts::OrgId::from_db(2);
    platform.ask(&crate::tokens::capability(&claims), "SELECT 1").await.unwrap();
    until(&platform, |pids| pids.len() == 1 && pids != second).await;
}

#[tokio::test]
async fn stopping_ends_queries_and_engines() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    let before = until(&platform, |pids| pids.len() == 1).await;
    let stop = async {
        until_busy(&platform, before[0]).await;
        platform.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(platform.ask(&token, SLOW), stop);
    assert_eq!(code(answer), "unavailable");
    until(&platform, |pids| pids.is_empty()).await;
}
