//! What the platform refuses, and what it keeps of it: nothing.

use std::fs;

use crate::platform::{Platform, stderr};

#[test]
fn broken_files_are_explained_by_line_and_store_nothing() {
    let platform = Platform::start();
    let endless_aliases = {
        let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            yaml += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
        }
        yaml
    };
    let table = [
        ("no YAML", "name: [".to_owned(), ""),
        ("unknown field", "name: x\njobs:\n  - name: a\n    operater: csv_to_parquet\n".to_owned(), ":4:"),
        ("missing upstream", job("inputs:\n      - { name: i, from: { job: nobody } }"), "nobody"),
        ("cycle", job("inputs:\n      - { name: i, from: { job: a } }"), ":"),
        ("bad duration", job("timeout: soon"), ":5:"),
        ("deep nesting", format!("name: {}x{}", "[".repeat(10_000), "]".repeat(10_000)), ""),
        ("aliases without end", endless_aliases, ""),
        ("ten megabytes", format!("name: x\n# {}\n", "a".repeat(10 << 20)), ""),
    ];
    fs::create_dir(platform.folder().join("udf")).unwrap();
    fs::write(platform.folder().join("udf/main.py"), "").unwrap();
    for (what, yaml, place) in table {
        fs::write(platform.folder().join("broken.yaml"), yaml).unwrap();
        let output = platform.trace(&["deploy", "broken.yaml"]);
        let code = output.status.code();
        assert!(code == Some(2) || code == Some(3), "{what}: {code:?} {}", stderr(&output));
        assert!(stderr(&output).contains(place), "{what}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{what}: {}", stderr(&output));
    }
    let dags = platform.trace(&["trigger", "x"]);
    assert_eq!(dags.status.code(), Some(3), "nothing was stored under that name: {}", stderr(&dags));
    assert_eq!(platform.json(&["runs", "--json"]), serde_json::json!([]));
}

fn job(more: &str) -> String {
    format!("name: x\njobs:\n  - name: a\n    udf: {{ language: python, path: udf }}\n    {more}\n")
}

#[test]
fn one_org_knows_nothing_of_another() {
    let platform = Platform::start();
    let source = "from trace_udf import task\n\n@task\ndef run(ctx):\n    print('a secret of main')\n    ctx.write([{'x': 1}])\n";
    platform.deploy_python(
        "ours",
        "  - name: a\n    udf: { language: python, path: a }\npublish:\n  ours_data: { from: { job: a } }\n",
        &[("a", source)],
    );
    let run = platform.json(&["trigger", "ours", "--wait", "--json"]);
    let tasks = platform.json(&["tasks", run["run"].as_str().unwrap(), "--json"]);
    let task = tasks[0]["task"].as_str().unwrap();
    assert!(platform.trace(&["query", "SELECT x FROM ours_data"]).status.success());

    for args in [
        &["trigger", "ours"][..],
        &["tasks", run["run"].as_str().unwrap()],
        &["logs", task],
        &["cancel", run["run"].as_str().unwrap()],
        &["retry", task],
        &["query", "SELECT x FROM ours_data"],
        &["datasets", "grant", "ours_data", "reader"],
    ] {
        let output = platform.trace_as_rival(args);
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", stderr(&output));
        assert!(!String::from_utf8_lossy(&output.stdout).contains("secret of main"));
    }
    assert_eq!(crate::platform::json(&platform.trace_as_rival(&["runs", "--json"])), serde_json::json!([]));
    assert_eq!(
        crate::platform::json(&platform.trace_as_rival(&["datasets", "--json"])),
        serde_json::json!([])
    );
}
