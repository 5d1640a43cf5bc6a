//! Parquet that means harm: an error of one query, and of nothing else.
//!
//! The files in `forged/` are what `trace/hostile/udf/on_parquet.py` makes for the vectors of these names.

use trace_contracts::{Manifest, ManifestObject};

use crate::{
    engines::{still_answers, until},
    objects::Objects,
    platform::Platform,
};

/// Each makes a decoder panic, after which the engine is not used again.
const FORGED: [(&str, &[u8]); 4] = [
    ("footer_length", include_bytes!("forged/footer_length.parquet")),
    ("offset_negative", include_bytes!("forged/offset_negative.parquet")),
    ("rows_that_are_not", include_bytes!("forged/rows_that_are_not.parquet")),
    ("huge_statistics", include_bytes!("forged/huge_statistics.parquet")),
];

fn only(object: ManifestObject) -> Manifest {
    Objects::manifest(vec![object])
}

#[tokio::test]
async fn forged_files_fail_one_query_and_say_so() {
    let platform = Platform::start().await;
    let good = platform.flights_token(1);
    for (number, (name, bytes)) in FORGED.into_iter().enumerate() {
        let before = until(&platform, |pids| pids.len() == 1).await;
        let key = format!("data/o1/r1/t1/a1/out/{name}.parquet");
        let grant = platform.grant(&only(platform.objects.put_bytes(&key, bytes.to_vec())));
        let token = platform.token(2 + number as i64, &[("forged", &grant)]);
        for sql in ["SELECT sum(v) FROM forged", "SELECT sum(a.v + b.v) FROM forged a, forged b"] {
            let problem = platform.ask(&token, sql).await.unwrap_err();
            assert_eq!(problem["code"], "sql_failed", "{name}: {problem}");
            assert_eq!(problem["status"], 422, "{name}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(!detail.contains("panicked") && !detail.contains(".rs:"), "{name}: {detail}");
        }
        until(&platform, |pids| pids.len() == 1 && *pids != before).await;
        still_answers(&platform, &good).await;
    }
}
