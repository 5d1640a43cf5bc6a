//! The harness against a whole platform: what `make test` runs of it besides its seeds.

mod rolling;
