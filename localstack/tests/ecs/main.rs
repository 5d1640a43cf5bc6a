//! Attempts in containers of their own: the launcher against moto, and the runner in a container that stands for
//! Fargate's. `make localstack` starts moto and runs these.

mod conformance;
mod launches;
mod scene;
