//! A queue that repeats itself, as queues do.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use trace_contracts::TaskId;
use trace_worker_wrapper::wakeups::{Answered, Error, Hint, Message, Receipt, WakeUp, WakeUps};

use crate::{
    fake_launcher::{Ending, Script},
    harness::{Harness, python},
};

/// Delivers these batches of task ids, then nothing more.
struct Queue {
    batches: Vec<Vec<i64>>,
    acknowledged: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl WakeUps for Queue {
    async fn receive(&mut self, _room: usize) -> Result<WakeUp, Error> {
        let Some(batch) = self.batches.pop() else { return std::future::pending().await };
        let task = |n: i64| TaskId::from_db((1 << 20) + n);
        let message =
            |n: &i64| Message { receipt: Receipt(format!("receipt of t{n}")), tasks: vec![task(*n)] };
        let messages = batch.iter().map(message).collect();
        Ok(WakeUp { hint: Hint::Tasks(batch.into_iter().map(task).collect()), messages })
    }

    async fn acknowledge(&mut self, answered: Answered) -> Result<(), Error> {
        self.acknowledged.lock().unwrap().extend(answered.done.into_iter().map(|receipt| receipt.0));
        Ok(())
    }
}

#[tokio::test]
async fn a_task_runs_once_however_often_it_is_woken_up_for() {
    let acknowledged = Arc::default();
    let queue =
        Queue { batches: vec![vec![9], vec![1], vec![1, 1]], acknowledged: Arc::clone(&acknowledged) };
    let script = Script { ending: Ending::Never, ..Script::default() };
    let harness = Harness::start_with(script, Box::new(queue), |seen| {
        seen.add_task(1, &python());
        // Even when the dispatcher answers a second claim with the lease of the first.
        seen.repeats_grants = true;
    })
    .await;
    harness.dispatcher.until("three claims", |seen| (seen.claims.len() == 3).then_some(())).await;
    harness.launcher.until_running(1).await;
    let launcher = Arc::clone(&harness.launcher);
    let dispatcher = harness.stop().await;
    assert_eq!(launcher.launched(), 1);
    let seen = dispatcher.seen();
    assert_eq!(seen.claims[0].tasks, Some(vec![TaskId::from_db((1 << 20) + 1)]), "named twice, asked once");
    assert_eq!(seen.completions.len(), 1);
    assert_eq!(acknowledged.lock().unwrap()[..2], ["receipt of t1", "receipt of t1"]);
}
