//! The platform as a state machine.
//!
//! One [`State`] holds the tables of the database and what everybody else knows or believes; one
//! [`Action`] is one atomic step of one of them. A transaction of the database is one step, except
//! where the code relies on a lock that it holds over several statements: those transactions are two
//! steps, and the lock is part of the state. `stateright` walks through every order of steps that
//! the bounds of a [`Scenario`] allow.
//!
//! A [`Weakness`] takes one guard away. With one, an invariant must break: that is what shows that
//! the invariants are worth something.

mod action;
mod database;
mod dispatcher;
pub mod invariant;
mod next;
mod plane;
pub mod progress;
pub mod scenario;
pub mod state;
mod weakness;
mod worker;

use std::collections::BTreeMap;

use stateright::{Model, Property};

pub use self::{action::Action, scenario::Scenario, state::State, weakness::Weakness};
use crate::{
    id::DagVersion,
    judge::{Clock, Settings},
    shape::{Shape, Shapes},
};

/// The only DAG of a model.
pub(crate) const DAG: DagVersion = DagVersion(1);

/// A platform to check: what happens on it, and what it does wrong.
#[derive(Debug, Clone)]
pub struct Platform {
    /// What happens.
    pub scenario: Scenario,
    /// The guard that is missing; none in the platform as it is built.
    pub weakness: Option<Weakness>,
    shapes: Shapes,
    settings: Settings,
}

impl Platform {
    /// The platform as it is built.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let shapes = BTreeMap::from([(DAG, scenario.shape.clone())]);
        let settings = Settings { max_losses: Some(scenario.max_losses), clock: Clock::Jumps };
        Self { scenario, weakness: None, shapes, settings }
    }

    /// The same without one of its guards.
    #[must_use]
    pub fn with(self, weakness: Weakness) -> Self {
        Self { weakness: Some(weakness), ..self }
    }

    fn lacks(&self, weakness: Weakness) -> bool {
        self.weakness == Some(weakness)
    }

    fn shape(&self) -> &Shape {
        &self.scenario.shape
    }
}

impl Model for Platform {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.next(state, &action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        invariant::properties()
    }
}
