//! Where an attack takes place.

use crate::{platform::Platform, world::World};

/// A platform, and what lies around it.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The platform that is attacked.
    pub platform: &'a Platform,
    /// What is not the attacker's.
    pub world: &'a World,
    /// Whether targets are planted within reach.
    pub planted: bool,
}
