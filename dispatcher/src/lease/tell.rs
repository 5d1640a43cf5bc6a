//! What a fenced transaction has told to webhooks.

use chrono::Utc;
use trace_contracts::RunId;

use super::Fenced;
use crate::{
    db::{self, runs::Progress},
    facts::RunFacts,
    webhooks::notice::{self, Event},
};

impl Fenced<'_> {
    /// Has an event of a locked run told to the webhooks that its DAG names; written when the transaction is
    /// settled, so that the delivery is there if and only if the event is.
    ///
    /// # Errors
    /// When the event is of what the DAG does not list.
    pub fn tell(&mut self, run: &RunFacts, event: Event<'_>) -> Result<(), db::Error> {
        self.notices.extend(notice::of(run, event, Utc::now())?);
        Ok(())
    }

    /// Tells of the runs that end with this transaction. Their facts are remembered, as those of every run that
    /// something is done for.
    pub(super) async fn tell_finished(&mut self) -> Result<(), db::Error> {
        let ended = self.runs.iter().filter(|(_, locked)| notice::has_finished(&locked.before, &locked.now));
        let ended: Vec<(RunId, Progress)> = ended.map(|(run, locked)| (*run, locked.now)).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let facts = self.facts.of(self.conn, &ended.iter().map(|(run, _)| *run).collect()).await?;
        for (run, progress) in ended {
            self.tell(&facts[&run], Event::RunFinished(progress))?;
        }
        Ok(())
    }
}
