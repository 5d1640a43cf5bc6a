//! Secrets: names, of trusted operators alone.

use trace_contracts::wire::worker::Code;

use super::{blobs, check, errors_with, here, job, spec_of};

fn operator(secrets: &str) -> String {
    format!("name: d\njobs:\n  - name: a\n    operator: csv_to_parquet\n    secrets: {secrets}\n")
}

#[test]
fn an_operator_declares_secrets_by_name() {
    let spec = spec_of_operator("[warehouse, api_key]");
    let Code::Operator { secrets, .. } = &spec.jobs[0].code else { panic!("an operator") };
    assert_eq!(secrets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["warehouse", "api_key"]);
}

fn spec_of_operator(secrets: &str) -> crate::dag::spec::Spec {
    check(&operator(secrets), &blobs(&[]), &here()).unwrap().spec
}

/// What is stored of a DAG without secrets, and so its version, stays as it was before there were any.
#[test]
fn a_dag_without_secrets_is_stored_without_them() {
    for spec in [spec_of_operator("[]"), spec_of(&job("    secrets: []\n"))] {
        let stored = serde_json::to_value(&spec).unwrap();
        assert!(stored["jobs"][0]["code"].get("secrets").is_none(), "{stored}");
        assert_eq!(serde_json::from_value::<crate::dag::spec::Spec>(stored).unwrap(), spec);
    }
}

#[test]
fn untrusted_code_is_refused_every_secret_and_told_what_to_do() {
    let errors = errors_with(&job("    secrets: [warehouse, api_key]\n"), &["u"]);
    assert_eq!(errors.matches("never for a function of yours").count(), 2, "{errors}");
    assert!(errors.contains("jobs[0].secrets[0]") && errors.contains("let an operator fetch"), "{errors}");
}

#[test]
fn names_of_secrets_are_names_and_few() {
    let many: Vec<String> = (0..17).map(|n| format!("s{n}")).collect();
    for (secrets, said) in [
        ("[../platform/dispatcher]", "is not a name"),
        ("[Warehouse]", "is not a name"),
        ("['*']", "is not a name"),
        ("[warehouse, warehouse]", "`warehouse` is there twice"),
        ("[{ name: warehouse }]", "expected"),
        ("warehouse", "expected"),
        (&format!("[{}]", many.join(", ")), "at most 16 secrets"),
    ] {
        let errors = errors_with(&operator(secrets), &[]);
        assert!(errors.contains(said) && errors.contains("secrets"), "{secrets}: {errors}");
    }
    assert!(check(&operator(&format!("[{}]", many[..16].join(", "))), &blobs(&[]), &here()).is_ok());
}
