//! A checked model of how Trace claims, leases and commits tasks, and the replay of a platform's own
//! transactions against the same rules.
//!
//! Three layers, each on the one before:
//!
//! - [`row`], [`tables`], [`shape`]: the state database's rows, and the changes of them that make a
//!   transaction.
//! - [`life`], [`judge`], [`rule`]: which transactions are allowed. Pure functions.
//! - [`check`]: the platform as a state machine that `stateright` walks through: dispatchers,
//!   workers, a plane, a network that loses, repeats and reorders, crashes and pauses. Every
//!   transaction that its dispatchers make is judged, and the invariants are checked in every state.
//!   [`replay`]: reads what a real database committed, in the order of its commits, and judges that.
//!
//! So a rule that is wrong shows in the model as a transaction that is refused, or as an invariant
//! that is broken by transactions that are not; and an implementation that does what the model does
//! not allow shows in the replay.

pub mod check;
pub mod id;
pub mod judge;
pub mod life;
pub mod replay;
pub mod row;
pub mod rule;
pub mod shape;
pub mod tables;
