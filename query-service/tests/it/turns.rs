//! Whose turn it is, with real engines.

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::json;
use trace_query_service::config::{Engines, Limits};

use crate::{
    engines::{SLOW, running, until, until_busy},
    platform::{Platform, limits},
};

/// Seconds of work, and then an answer.
const LONG: &str = "SELECT sum(a.flight * b.flight - c.flight * d.flight + e.flight * f.flight) \
    FROM flights a, flights b, flights c, flights d, flights e, flights f";
const SHORT: &str = "SELECT count(*) FROM flights";

async fn two_engines() -> Platform {
    // Whatever else this machine does, the deadline is not what ends a test.
    let limits = Limits { waiting: 8, deadline_ms: 90_000, ..limits() };
    Platform::with(limits, Engines { count: 2, threads: 1, ..Engines::default() }).await
}

#[tokio::test]
async fn an_org_with_long_queries_keeps_no_other_one_waiting() {
    let platform = two_engines().await;
    let (one, two) = (platform.flights_token_of(1, 1), platform.flights_token_of(2, 2));
    let engines = until(&platform, |pids| pids.len() == 2).await;
    let mut slow: FuturesUnordered<_> = (0..6).map(|_| platform.ask(&one, SLOW)).collect();
    let busy = async {
        for engine in &engines {
            until_busy(&platform, *engine).await;
        }
    };
    tokio::select! {
        ended = slow.next() => panic!("it can't be done: {ended:?}"),
        () = busy => {}
    }
    // They hold on until their deadline, and so would the other org have to.
    for _ in 0..3 {
        tokio::select! {
            biased;
            ended = slow.next() => panic!("one org's queries came first: {ended:?}"),
            answer = platform.ask(&two, SHORT) => assert_eq!(answer.unwrap(), json!([[12]])),
        }
    }
}

#[tokio::test]
async fn a_query_that_gives_its_engine_back_is_answered_all_the_same() {
    let platform = two_engines().await;
    let (one, two) = (platform.flights_token_of(1, 1), platform.flights_token_of(2, 2));
    let engines = until(&platform, |pids| pids.len() == 2).await;
    let slow = platform.ask(&one, SLOW);
    let others = async {
        tokio::select! {
            () = until_busy(&platform, engines[0]) => {}
            () = until_busy(&platform, engines[1]) => {}
        }
        let long = platform.ask(&one, LONG);
        tokio::pin!(long);
        tokio::select! {
            biased;
            ended = &mut long => panic!("it takes longer: {ended:?}"),
            ((), ()) = async { tokio::join!(until_busy(&platform, engines[0]), until_busy(&platform, engines[1])) } => {}
        }
        tokio::select! {
            biased;
            ended = &mut long => panic!("it takes longer: {ended:?}"),
            answer = platform.ask(&two, SHORT) => assert_eq!(answer.unwrap(), json!([[12]])),
        }
        let left = running(&platform).into_iter().filter(|engine| engines.contains(engine)).count();
        assert_eq!(left, 1, "one engine was given back, and the other one goes on");
        assert!(long.await.is_ok());
    };
    tokio::select! {
        biased;
        ended = slow => panic!("the oldest query is not started anew, and takes longer: {ended:?}"),
        () = others => {}
    }
}
