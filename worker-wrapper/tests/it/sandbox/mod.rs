//! The process sandbox on the real kernel. These tests need what the sandbox needs, and fail where it
//! is missing.

mod egress;
pub mod kit;
mod life;
mod limits;
mod output;
mod privileges;
mod reach;
mod spares;
mod tls;
