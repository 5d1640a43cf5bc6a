//! What a session is called, in CloudTrail and in the ARN of whoever uses it.

use trace_contracts::{AttemptId, OrgId, TaskId};

/// STS takes 2 to 64 letters, digits and `=,.@-_`.
const MAX_CHARS: usize = 64;

/// `trace-ATTEMPT-TASK-ORG`, such as `trace-a40-t17.3-o1`. What does not fit is left out from the end:
/// the attempt alone is unique, and always there.
pub(super) fn session_name(attempt: AttemptId, task: TaskId, org: OrgId) -> String {
    let mut name = format!("trace-{attempt}");
    for part in [task.to_string(), org.to_string()] {
        if name.len() + 1 + part.len() > MAX_CHARS {
            break;
        }
        name = format!("{name}-{part}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_called_by_its_attempt() {
        let name = session_name(AttemptId::from_db(40), TaskId::from_db((17 << 20) + 3), OrgId::from_db(1));
        assert_eq!(name, "trace-a40-t17.3-o1");
    }

    #[test]
    fn the_longest_ids_make_a_name_that_sts_takes() {
        let most = i64::MAX;
        let name = session_name(AttemptId::from_db(most), TaskId::from_db(most), OrgId::from_db(most));
        assert!(name.len() <= MAX_CHARS && name.contains(&most.to_string()), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"=,.@-_".contains(&b)), "{name}");
    }
}
