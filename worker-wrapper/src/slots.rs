//! How many attempts run at a time.

use std::{num::NonZeroUsize, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The wrapper's places for attempts.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Semaphore>,
}

/// Places that were taken together, of which each attempt keeps one.
#[derive(Debug)]
pub struct Room {
    permits: OwnedSemaphorePermit,
}

/// One attempt's place; free again when it is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// So many places.
    #[must_use]
    pub fn new(count: NonZeroUsize) -> Self {
        Self { free: Arc::new(Semaphore::new(count.get().min(Semaphore::MAX_PERMITS))) }
    }

    /// Waits until a place is free and takes all that are. Nobody else takes places, so that what is
    /// free does not shrink in between.
    ///
    /// # Panics
    /// Never: the semaphore is not closed.
    pub async fn room(&self) -> Room {
        let first = Arc::clone(&self.free).acquire_owned().await;
        // Unwrap safety: the semaphore is never closed.
        let mut permits = first.expect("the slots are never closed");
        let more = u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX);
        if let Ok(others) = Arc::clone(&self.free).try_acquire_many_owned(more) {
            permits.merge(others);
        }
        Room { permits }
    }
}

impl Room {
    /// How many places are left in it.
    #[must_use]
    pub fn places(&self) -> usize {
        self.permits.num_permits()
    }

    /// Takes one place out of it; `None` when it is used up.
    pub fn take(&mut self) -> Option<Slot> {
        self.permits.split(1).map(|permit| Slot { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_claim_gets_all_that_is_free_and_waits_for_the_first() {
        let slots = Slots::new(NonZeroUsize::new(3).unwrap());
        let mut room = slots.room().await;
        assert_eq!(room.places(), 3);
        let running = room.take().unwrap();
        drop(room);
        let mut room = slots.room().await;
        assert_eq!(room.places(), 2);
        let others = [room.take().unwrap(), room.take().unwrap()];
        assert!(room.take().is_none());
        assert!(slots.room().now_or_never().is_none(), "all are taken");
        drop(running);
        assert_eq!(slots.room().await.places(), 1);
        drop(others);
    }
}
