//! Something short-lived that is asked for again in time.

use std::{cell::RefCell, time::SystemTime};

use crate::Result;

/// What was asked for last.
pub struct Renewed<T>(RefCell<Option<Held<T>>>);

struct Held<T> {
    value: T,
    /// Half of the time that was left when it was asked for has passed.
    renew_at: SystemTime,
}

impl<T: Clone> Renewed<T> {
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// What is held, or what `ask` answers with its end where less than half of its time is left. An
    /// answer that does not tell its end is not held.
    pub fn get(&self, now: SystemTime, ask: impl FnOnce() -> Result<(T, Option<SystemTime>)>) -> Result<T> {
        if let Some(held) = self.0.borrow().as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.value.clone());
        }
        let (value, end) = ask()?;
        let held = end.map(|end| {
            let left = end.duration_since(now).unwrap_or_default();
            Held { value: value.clone(), renew_at: now + left / 2 }
        });
        self.0.replace(held);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;
    use crate::Error;

    const SESSION: Duration = Duration::from_secs(900);

    #[test]
    fn for_hours_whoever_asks_has_keys_with_time_left() {
        let (renewed, asked) = (Renewed::new(), Cell::new(0));
        for second in (0..3 * 3600).step_by(10) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            let end = renewed.get(now, || {
                asked.set(asked.get() + 1);
                Ok((now + SESSION, Some(now + SESSION)))
            });
            let left = end.unwrap().duration_since(now).unwrap();
            assert!(left >= SESSION / 2, "{left:?} left after {second} s");
        }
        assert_eq!(asked.get(), 3 * 3600 / 450);
    }

    #[test]
    fn what_does_not_tell_its_end_is_asked_for_every_time() {
        let (renewed, asked) = (Renewed::new(), Cell::new(0));
        for _ in 0..3 {
            let ask = || {
                asked.set(asked.get() + 1);
                Ok((asked.get(), None))
            };
            assert_eq!(renewed.get(SystemTime::UNIX_EPOCH, ask).unwrap(), asked.get());
        }
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn a_failure_is_told_and_does_not_stay() {
        let renewed = Renewed::new();
        let now = SystemTime::UNIX_EPOCH;
        assert!(renewed.get(now, || Err(Error::DeadlinePassed)).is_err());
        assert_eq!(renewed.get(now, || Ok((1, Some(now + SESSION)))).unwrap(), 1);
        assert_eq!(renewed.get(now, || unreachable!("it is held")).unwrap(), 1);
    }
}
