//! Rows in, the file read back with Arrow.

mod refuse;
mod support;
mod write;
