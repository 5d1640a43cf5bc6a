//! Why a task or a run does not run, or failed. What the rows say is read by [`read`]; what follows from
//! it is told by pure functions: [`roots`] finds the task that everything waits for, [`cause`] says why
//! that one stands where it stands, [`sentence`] says it in words.

pub mod cause;
mod read;
pub mod roots;
pub mod sentence;
#[cfg(test)]
mod tests;

pub use read::{of_run, of_task};
