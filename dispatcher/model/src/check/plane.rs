//! A plane: it asks about an attempt that it sees for the first time, follows what it holds, and
//! believes nobody about whom it has heard nothing for its bound.

use std::collections::BTreeSet;

use super::{
    Action, Platform, Weakness,
    next::{Step, done},
    state::{BOUND, PlaneNow, Question, State},
};
use crate::id::Attempt;

impl Platform {
    pub(super) fn plane(&self, state: &mut State, action: &Action) -> Step {
        match action {
            Action::FirstSight(attempt) => {
                state.plane.first_sight = Some(question([*attempt].into()));
                Some(())
            }
            Action::FirstLook(at) => {
                let dead = over(state, *at, &state.plane.first_sight.as_ref()?.about);
                answer(state.plane.first_sight.as_mut()?, dead)
            }
            Action::FirstAnswer => self.first_answer(&mut state.plane),
            Action::FeedAsks => {
                state.plane.feed = Some(question(state.plane.held.keys().copied().collect()));
                Some(())
            }
            Action::FeedLook(at) => {
                let dead = over(state, *at, &state.plane.feed.as_ref()?.about);
                answer(state.plane.feed.as_mut()?, dead)
            }
            Action::FeedAnswer => self.feed_answer(&mut state.plane),
            Action::LetGo(attempt) => done(state.plane.held.remove(attempt).is_some()),
            Action::Tick => {
                self.tick(state);
                Some(())
            }
            _ => None,
        }
    }

    fn first_answer(&self, plane: &mut PlaneNow) -> Step {
        let Question { about, age, dead } = plane.first_sight.take_if(|asked| asked.dead.is_some())?;
        let dead = dead?;
        for attempt in about {
            if dead.contains(&attempt) {
                bury(plane, attempt);
            } else {
                let silence = if self.lacks(Weakness::BoundFromTheAnswer) {
                    plane.held.values().copied().max().unwrap_or_default()
                } else {
                    age
                };
                plane.held.insert(attempt, silence);
            }
        }
        Some(())
    }

    fn feed_answer(&self, plane: &mut PlaneNow) -> Step {
        let Question { about, age, dead } = plane.feed.take_if(|asked| asked.dead.is_some())?;
        dead?.into_iter().for_each(|attempt| bury(plane, attempt));
        for (attempt, silence) in &mut plane.held {
            if self.lacks(Weakness::BoundFromTheAnswer) {
                *silence = 0;
            } else if about.contains(attempt) {
                *silence = age;
            }
        }
        Some(())
    }

    /// Time passes. What was heard is older, and so are questions; past the bound nobody is believed
    /// and no answer waited for.
    fn tick(&self, state: &mut State) {
        let asked: BTreeSet<Attempt> = state
            .plane
            .first_sight
            .iter()
            .flat_map(|one| one.about.iter())
            .chain(state.plane.held.keys())
            .copied()
            .collect();
        for attempt in asked {
            if !state.lives(attempt) {
                let age = state.plane.ages.entry(attempt).or_default();
                *age = (*age + 1).min(BOUND);
            }
        }
        let plane = &mut state.plane;
        let stays_open = self.lacks(Weakness::PlaneStaysOpen);
        plane.held.retain(|_, silence| {
            *silence = (*silence + 1).min(BOUND);
            *silence < BOUND || stays_open
        });
        for question in [&mut plane.first_sight, &mut plane.feed] {
            question.take_if(|asked| {
                asked.age += 1;
                asked.age >= BOUND
            });
        }
    }
}

const fn question(about: BTreeSet<Attempt>) -> Question {
    Question { about, age: 0, dead: None }
}

/// Those of these attempts that are over, as a dispatcher sees it: by the database, and by what it
/// heard of cuts.
fn over(state: &State, at: usize, about: &BTreeSet<Attempt>) -> BTreeSet<Attempt> {
    let cut = &state.dispatchers[at].cut;
    about.iter().filter(|one| !state.lives(**one) || cut.contains(one)).copied().collect()
}

fn answer(asked: &mut Question, dead: BTreeSet<Attempt>) -> Step {
    // The first look answers; a second one would be another question.
    if asked.dead.is_some() {
        return None;
    }
    asked.dead = Some(dead);
    Some(())
}

fn bury(plane: &mut PlaneNow, attempt: Attempt) {
    plane.dead.insert(attempt);
    plane.held.remove(&attempt);
}
