//! Checks the model, its broken variants, and the replay.

mod model;
