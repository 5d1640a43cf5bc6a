//! Whose turn it is: which org gets the next engine, and which gives one back.
//!
//! A place is the right to one engine. An org alone may hold all of them. As soon as others wait, the
//! next place that is free goes to the org that holds the fewest, in turns where several do. An org that
//! has waited for [`PATIENCE`] takes a place back from the one that holds the most, if that one still holds
//! no fewer than itself afterwards. So an org can't keep another waiting by queries that take long.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;
use trace_contracts::OrgId;
use trace_controls::{Protection, stands};

/// How long an org waits before it takes a place back. Most queries are over by then, and starting one
/// anew costs an engine.
const PATIENCE: Duration = Duration::from_millis(250);

/// Hands out a number of places; cheap to clone.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

/// The right to one engine, until it is dropped.
pub(crate) struct Place {
    id: u64,
    recalled: CancellationToken,
    turns: Turns,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// As many wait as may.
    #[error("as many queries wait as may")]
    Full,
    /// No places are handed out any more.
    #[error("no places are handed out any more")]
    Closed,
}

/// Where a query stands in its org's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coming {
    /// Last.
    First,
    /// First, because it had a place and gave it back.
    Again,
}

struct State {
    free: usize,
    /// Queries that may wait.
    may_wait: usize,
    closed: bool,
    /// Numbers places and tickets.
    next: u64,
    /// Places in use, the oldest first.
    held: Vec<Held>,
    /// One for each org that waits; who was served last is last. None is empty.
    lines: VecDeque<Line>,
}

struct Held {
    id: u64,
    org: OrgId,
    recalled: CancellationToken,
}

struct Line {
    org: OrgId,
    tickets: VecDeque<Ticket>,
}

struct Ticket {
    number: u64,
    place: oneshot::Sender<Place>,
}

impl Place {
    /// Cancelled once another org takes it back.
    pub(crate) fn recalled(&self) -> CancellationToken {
        self.recalled.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.state().release(self.id);
        self.turns.settle();
    }
}

impl Turns {
    /// So many places, for which so many queries may wait.
    pub(crate) fn new(places: usize, may_wait: usize) -> Self {
        let (held, lines) = (Vec::new(), VecDeque::new());
        Self(Arc::new(Mutex::new(State { free: places, may_wait, closed: false, next: 0, held, lines })))
    }

    /// A place for a query of this org, when its turn has come.
    pub(crate) async fn place(&self, org: OrgId, coming: Coming) -> Result<Place, Error> {
        let mut place = self.line_up(org, coming)?;
        loop {
            match timeout(PATIENCE, &mut place).await {
                Ok(place) => return place.map_err(|_| Error::Closed),
                Err(_) => self.state().recall_for(org),
            }
        }
    }

    /// Nobody gets a place from now on.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.lines.clear();
    }

    fn line_up(&self, org: OrgId, coming: Coming) -> Result<oneshot::Receiver<Place>, Error> {
        let (ticket, place) = oneshot::channel();
        self.state().line_up(org, coming, ticket)?;
        self.settle();
        Ok(place)
    }

    /// Hands out what is free.
    fn settle(&self) {
        loop {
            let turn = self.state().next_turn();
            let Some((ticket, id, recalled)) = turn else { return };
            // Dropping it, where nobody waits for it any more, gives it to the next one.
            drop(ticket.place.send(Place { id, recalled, turns: self.clone() }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn line_up(&mut self, org: OrgId, coming: Coming, place: oneshot::Sender<Place>) -> Result<(), Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        self.forget_gone();
        let waiting: usize = self.lines.iter().map(|line| line.tickets.len()).sum();
        if coming == Coming::First && self.free == 0 && waiting >= self.may_wait {
            return Err(Error::Full);
        }
        let ticket = Ticket { number: self.number(), place };
        match (self.lines.iter_mut().find(|line| line.org == org), coming) {
            (None, _) => self.lines.push_back(Line { org, tickets: VecDeque::from([ticket]) }),
            (Some(line), Coming::First) => line.tickets.push_back(ticket),
            (Some(line), Coming::Again) => line.tickets.push_front(ticket),
        }
        Ok(())
    }

    /// Takes the next ticket out of its line, with the place that it gets.
    fn next_turn(&mut self) -> Option<(Ticket, u64, CancellationToken)> {
        self.forget_gone();
        if self.free == 0 {
            return None;
        }
        let mut line = self.lines.remove(self.whose_turn()?)?;
        let (org, ticket) = (line.org, line.tickets.pop_front()?);
        if !line.tickets.is_empty() {
            self.lines.push_back(line);
        }
        let (id, recalled) = (self.number(), CancellationToken::new());
        self.free -= 1;
        self.held.push(Held { id, org, recalled: recalled.clone() });
        Some((ticket, id, recalled))
    }

    /// The line of the org that holds the fewest places.
    fn whose_turn(&self) -> Option<usize> {
        let by_arrival = |line: &Line| line.tickets.front().map(|ticket| ticket.number);
        let lines = self.lines.iter().enumerate();
        let next = match stands(Protection::FairTurns) {
            true => lines.min_by_key(|(_, line)| self.holds(line.org)),
            false => lines.min_by_key(|(_, line)| by_arrival(line)),
        };
        next.map(|(index, _)| index)
    }

    /// Asks one place back, unless one is on its way: the youngest, which has the least work to lose.
    fn recall_for(&mut self, org: OrgId) {
        let is_under_way = self.held.iter().any(|held| held.recalled.is_cancelled());
        if is_under_way || !stands(Protection::FairTurns) {
            return;
        }
        let most = self.held.iter().map(|held| self.holds(held.org)).max().unwrap_or_default();
        if most > self.holds(org) + 1
            && let Some(held) = self.held.iter().rev().find(|held| self.holds(held.org) == most)
        {
            tracing::debug!(from = %held.org, to = %org, "a query gives its engine back and starts anew");
            held.recalled.cancel();
        }
    }

    fn release(&mut self, id: u64) {
        self.held.retain(|held| held.id != id);
        self.free += 1;
    }

    fn holds(&self, org: OrgId) -> usize {
        self.held.iter().filter(|held| held.org == org).count()
    }

    /// Those who do not wait any more wait in no line.
    fn forget_gone(&mut self) {
        for line in &mut self.lines {
            line.tickets.retain(|ticket| !ticket.place.is_closed());
        }
        self.lines.retain(|line| !line.tickets.is_empty());
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orgs() -> [OrgId; 3] {
        [1, 2, 3].map(OrgId::from_db)
    }

    impl Turns {
        fn ask(&self, org: OrgId) -> oneshot::Receiver<Place> {
            self.line_up(org, Coming::First).unwrap()
        }
    }

    #[test]
    fn an_org_alone_has_all_places_and_the_next_one_is_anothers() {
        let ([one, two, _], turns) = (orgs(), Turns::new(2, 8));
        let first = turns.ask(one).try_recv().unwrap();
        let _second = turns.ask(one).try_recv().unwrap();
        let (mut third, mut others) = (turns.ask(one), turns.ask(two));
        assert!(third.try_recv().is_err() && others.try_recv().is_err());
        drop(first);
        let _others = others.try_recv().expect("it has none, and goes first");
        assert!(third.try_recv().is_err());
    }

    #[test]
    fn orgs_that_hold_as_many_take_turns() {
        let ([one, two, three], turns) = (orgs(), Turns::new(1, 8));
        let mut place = turns.ask(three).try_recv().unwrap();
        let mut waiting: Vec<_> = [one, one, two, two].into_iter().map(|org| (org, turns.ask(org))).collect();
        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(place);
            let (index, next) = (0..waiting.len())
                .find_map(|index| Some((index, waiting[index].1.try_recv().ok()?)))
                .expect("somebody is served");
            served.push(waiting.remove(index).0);
            place = next;
        }
        assert_eq!(served, [one, two, one, two]);
    }

    #[test]
    fn an_org_without_a_place_takes_back_the_youngest_of_several() {
        let ([one, two, _], turns) = (orgs(), Turns::new(2, 8));
        let old = turns.ask(one).try_recv().unwrap();
        let young = turns.ask(one).try_recv().unwrap();
        let mut others = turns.ask(two);
        turns.state().recall_for(two);
        turns.state().recall_for(two);
        assert!(young.recalled.is_cancelled() && !old.recalled.is_cancelled());
        drop(young);
        let mut again = turns.line_up(one, Coming::Again).unwrap();
        let others = others.try_recv().expect("what was taken back");
        turns.state().recall_for(one);
        assert!(!others.recalled.is_cancelled(), "each has its share");
        drop(others);
        assert!(again.try_recv().is_ok(), "it goes on once nobody else waits");
    }

    #[test]
    fn what_starts_anew_is_first_in_its_line_and_never_turned_away() {
        let ([one, ..], turns) = (orgs(), Turns::new(1, 1));
        let place = turns.ask(one).try_recv().unwrap();
        let mut waits = turns.ask(one);
        assert_eq!(turns.line_up(one, Coming::First).err(), Some(Error::Full));
        let mut again = turns.line_up(one, Coming::Again).unwrap();
        drop(place);
        assert!(again.try_recv().is_ok());
        assert!(waits.try_recv().is_ok());
    }

    #[test]
    fn who_has_gone_takes_no_turn_and_no_place() {
        let ([one, two, _], turns) = (orgs(), Turns::new(1, 1));
        let place = turns.ask(one).try_recv().unwrap();
        drop(turns.ask(two));
        let unread = turns.ask(one);
        drop(place);
        drop(unread);
        assert!(turns.ask(two).try_recv().is_ok(), "a place that was not taken is free");
        turns.close();
        assert_eq!(turns.line_up(one, Coming::First).err(), Some(Error::Closed));
    }
}
