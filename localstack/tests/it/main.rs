//! The adapters for AWS against LocalStack. `make localstack` starts it and runs these.

mod kms;
mod sqs;
mod sqs_faults;
mod wrapper;
