//! The adapters for AWS against LocalStack. `make localstack` starts it and runs these.

#[path = "../../../contracts/plane/tests/it/authority.rs"]
mod authority;
mod demo;
mod kms;
#[path = "../../../dispatcher/tests/it/support/seaweed.rs"]
#[allow(dead_code, reason = "the dispatcher's tests use more of it")]
mod seaweed;
mod secrets;
mod sqs;
mod sqs_faults;
mod wrapper;
