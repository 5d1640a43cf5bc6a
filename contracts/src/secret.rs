//! Values that must not be printed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret: `Debug` hides it, there is no `Display`, and it has no default. It can be serialized,
/// because tokens travel in wire bodies; it is read with [`Secret::expose`], which is easy to find.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Do not log it, and do not put it into an error.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
