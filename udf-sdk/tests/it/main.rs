//! The SDK against a platform that is a thread of this test.

mod context;
mod contracts;
mod platform;
