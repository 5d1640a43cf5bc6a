//! Tasks are planned when the last of their inputs comes, neither earlier nor never.

use super::{Broken, Case, Moves, must};
use crate::{
    id::{Run, Task},
    life::Move,
    rule::Rule,
};

pub(super) fn check(case: &Case<'_>, moves: &Moves) -> Result<(), Broken> {
    for (task, how) in &moves.tasks {
        match how {
            Move::Plan => {
                let shape = case.shape(task.run())?;
                let there = case.tables.inputs_are_there(task.run(), shape, task.place());
                must(there, Rule::TooEarly, task)?;
            }
            Move::Commit(_) => {
                let waiting = case.shape(task.run())?.waiting_for(task.place());
                none_lost(case, task.run(), waiting)?;
            }
            _ => {}
        }
    }
    for run in moves.started() {
        none_lost(case, run, 0..case.shape(run)?.total())?;
    }
    Ok(())
}

/// None of these waits although its inputs are there.
fn none_lost(case: &Case<'_>, run: Run, places: impl IntoIterator<Item = u32>) -> Result<(), Broken> {
    let shape = case.shape(run)?;
    for place in places {
        let task = Task::at(run, place);
        let waits = case.tables.places(task) == 0 && case.tables.inputs_are_there(run, shape, place);
        must(!waits, Rule::Lost, task)?;
    }
    Ok(())
}
