//! Attempts in containers of their own: the launcher against moto, and the runner in a container that stands for
//! Fargate's; and in environments of Lambda, which the tests play. `make localstack` starts moto and runs these.

mod conformance;
mod lambda;
mod launches;
mod scene;
