//! Lists that are longer than one answer.

use serde_json::{Value, json};

use crate::platform::{Answer, Platform, task_info};

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let platform = Platform::start(|asked| {
        let first = match asked.line.as_str() {
            "GET /v1/runs/r1/tasks?limit=1000" => 1,
            "GET /v1/runs/r1/tasks?limit=1000&after=t1.1000" => 1001,
            "GET /v1/runs/r1/tasks?limit=1000&after=t1.2000" => return Answer::json(&json!([])),
            other => panic!("{other}"),
        };
        let page: Vec<Value> = (first..first + 1000).map(|number| task_info(number, "succeeded")).collect();
        Answer::json(&Value::Array(page))
    })
    .await;
    let ran = platform.trace(&["tasks", "r1", "--json"]).await.ended_with(0);
    assert_eq!(ran.document().as_array().unwrap().len(), 2000);
}
