//! `trace egress`.

use serde_json::{Value, json};

use crate::platform::{Answer, Platform};

fn rule(number: u32, effect: &str, to: &str, dag: Option<&str>) -> Value {
    let mut rule = json!({
        "rule": format!("e{number}"), "effect": effect, "to": to, "set_by": "u1",
        "set_at": "2027-01-01T00:00:00Z",
    });
    if let Some(dag) = dag {
        rule["dag"] = json!(dag);
    }
    rule
}

#[tokio::test]
async fn rules_are_listed_set_and_removed() {
    let platform = Platform::start(|asked| match asked.line.as_str() {
        "GET /v1/egress" => Answer::json(&json!([
            rule(1, "allow", "*.example.com:443", None),
            rule(2, "deny", "pay.example.com:443", Some("flights")),
        ])),
        "POST /v1/egress" => {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            let effect = body["effect"].as_str().unwrap();
            let dag = body["dag"].as_str();
            let rule = rule(3, effect, body["to"].as_str().unwrap(), dag);
            Answer::json(&json!({ "rule": rule, "attempts_ended": u32::from(effect == "deny") }))
        }
        "DELETE /v1/egress/e3" => Answer::json(&json!({
            "rule": rule(3, "allow", "api.example.com:443", None), "attempts_ended": 2,
        })),
        other => panic!("{other}"),
    })
    .await;
    for (arguments, shown) in [
        (&["egress", "list"][..], "pay.example.com:443"),
        (&["egress", "list"], "every DAG"),
        (
            &["egress", "allow", "api.example.com:443", "--dag", "flights"],
            "set: e3 allow api.example.com:443 for the DAG flights",
        ),
        (
            &["egress", "deny", "*.example.com:443"],
            "set: e3 deny *.example.com:443 for every DAG; an attempt was ended",
        ),
        (&["egress", "remove", "e3"], "2 attempts were ended"),
    ] {
        let ran = platform.trace(arguments).await.ended_with(0);
        assert!(ran.text().contains(shown), "{arguments:?}: {}", ran.text());
    }
    let json = platform.trace(&["egress", "remove", "e3", "--json"]).await.ended_with(0);
    assert_eq!(json.document()["attempts_ended"], 2);
    let asked = platform.lines().len();
    for wrong in [
        &["egress", "allow", "*.com:443"][..],
        &["egress", "allow", "api.example.com"],
        &["egress", "allow", "https://api.example.com/"],
        &["egress", "deny", "api.example.com:443", "--dag", "No"],
        &["egress", "remove", "3"],
        &["egress"],
    ] {
        platform.trace(wrong).await.ended_with(2);
    }
    assert_eq!(platform.lines().len(), asked, "nothing wrong is sent");
}

#[tokio::test]
async fn an_org_without_rules_is_told_what_to_do() {
    let platform = Platform::start(|_| Answer::json(&json!([]))).await;
    let ran = platform.trace(&["egress", "list"]).await.ended_with(0);
    assert!(ran.text().contains("trace egress allow HOST:PORT"), "{}", ran.text());
}
