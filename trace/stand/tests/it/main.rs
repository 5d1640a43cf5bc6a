//! Authority that is over is refused by every plane, and what runs on it ends.

mod cut_off;
mod every_plane;
mod rotation;
