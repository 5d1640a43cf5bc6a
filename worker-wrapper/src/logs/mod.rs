//! What an attempt prints: split into lines, masked, made plain text, capped, and sent on.
//!
//! The pipes are always drained: a slow dispatcher or a full budget never blocks the code that
//! prints, because what is kept of one attempt fits in memory and the rest is dropped here.

mod book;
mod capture;
mod lines;
mod mask;
mod shapes;
mod ship;
mod text;

pub use book::LogBook;
pub use capture::capture;
pub use mask::{Masker, SHORTEST_SECRET};
pub use ship::{Destination, Sent, ship};

/// Bytes of a line that are kept; the rest of a longer line is dropped.
pub const LINE_BYTES: usize = 8 * 1024;

/// How much more of a line is looked at, so that a secret which begins within [`LINE_BYTES`] is seen
/// whole: the longest token, and some.
const LOOK_AHEAD_BYTES: usize = trace_contracts::token::MAX_TOKEN_BYTES + 4 * 1024;

/// Bytes of the longest secret that is looked for: what begins at the end of a line's kept part is seen whole, even
/// where it is spelt longer than it is.
pub const LONGEST_SECRET: usize = 16 * 1024;
const _: () = assert!(LONGEST_SECRET < LOOK_AHEAD_BYTES);
