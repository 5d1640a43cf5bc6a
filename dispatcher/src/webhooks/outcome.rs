//! What a receiver's answer means: delivered, again later, or given up.

use std::time::Duration;

use trace_contracts::wire::delivery::SendOutcome;

use super::Settings;

/// A delivery that was sent, or was to be.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// How often, this time included.
    pub tries: u32,
    /// For how long it has been tried.
    pub age: Duration,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Nothing more: it was taken.
    Delivered,
    /// It is sent again.
    Again {
        /// Not before this many seconds from now.
        delay_seconds: f64,
    },
    /// It is given up.
    Dead {
        /// Why, for people.
        reason: String,
    },
}

/// What the answer says of the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answers; whether it wants what it is sent is another matter.
    Answers,
    /// It does not do its work for now.
    Fails,
    /// It says that it is gone for good (410).
    Gone,
}

/// Decides. `jitter` lies in ±1 and moves a delay by up to a fifth, so that what failed together does not come
/// back together.
#[must_use]
pub fn next(settings: &Settings, tried: Tried, outcome: SendOutcome, jitter: f64) -> (Next, Health) {
    let (status, retry_after_s) = match outcome {
        SendOutcome::Answered { status, retry_after_s } => (Some(status), retry_after_s),
        SendOutcome::NoAnswer => (None, None),
    };
    let dead = |reason: String| Next::Dead { reason };
    match status {
        Some(200..=299) => (Next::Delivered, Health::Answers),
        Some(410) => {
            let reason = "the receiver answered 410: it is gone, and the webhook is disabled".to_owned();
            (dead(reason), Health::Gone)
        }
        None | Some(408 | 425 | 429 | 500..) => {
            (again(settings, tried, retry_after_s, jitter), Health::Fails)
        }
        Some(status @ 300..=399) => (
            dead(format!(
                "the receiver answered {status}, a redirect: they are not followed, so add a webhook with the address that it leads to"
            )),
            Health::Answers,
        ),
        Some(status) => {
            (dead(format!("the receiver answered {status}: it does not take this delivery")), Health::Answers)
        }
    }
}

fn again(settings: &Settings, tried: Tried, retry_after_s: Option<u32>, jitter: f64) -> Next {
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
    let longest = seconds(settings.longest_retry_ms);
    let doublings = tried.tries.saturating_sub(1).min(30).cast_signed();
    let backed_off = (seconds(settings.first_retry_ms) * 2f64.powi(doublings)).min(longest);
    let asked = f64::from(retry_after_s.unwrap_or_default()).min(longest);
    let delay_seconds = (backed_off * (1.0 + jitter / 5.0)).max(asked).max(0.0);
    if tried.tries >= settings.max_tries {
        return Next::Dead { reason: format!("given up after {} tries", tried.tries) };
    }
    if tried.age.as_secs_f64() + delay_seconds > settings.max_age().as_secs_f64() {
        return Next::Dead { reason: too_old() };
    }
    Next::Again { delay_seconds }
}

/// Why a delivery is given up that could not be sent for too long.
#[must_use]
pub fn too_old() -> String {
    "given up: it could not be delivered for too long".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(tries: u32, age_s: u64, outcome: SendOutcome) -> (Next, Health) {
        next(&Settings::default(), Tried { tries, age: Duration::from_secs(age_s) }, outcome, 0.0)
    }

    fn answered(status: u16) -> SendOutcome {
        SendOutcome::Answered { status, retry_after_s: None }
    }

    #[test]
    fn what_can_succeed_later_is_tried_again_and_nothing_else() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(after(1, 0, answered(status)), (Next::Delivered, Health::Answers), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599, 600, 999] {
            let (next, health) = after(1, 0, answered(status));
            assert_eq!((next, health), (Next::Again { delay_seconds: 5.0 }, Health::Fails), "{status}");
        }
        assert_eq!(after(3, 0, SendOutcome::NoAnswer).0, Next::Again { delay_seconds: 20.0 });
        for status in [100, 199, 301, 302, 307, 308, 400, 401, 403, 404, 409, 413, 422, 451] {
            let (next, health) = after(1, 0, answered(status));
            let Next::Dead { reason } = next else { panic!("{status}: {next:?}") };
            assert!(reason.contains(&status.to_string()), "{reason}");
            assert_eq!(health, Health::Answers, "{status}");
        }
        assert!(matches!(after(1, 0, answered(410)), (Next::Dead { .. }, Health::Gone)));
    }

    #[test]
    fn tries_and_age_are_bounded() {
        assert!(matches!(after(30, 0, answered(503)).0, Next::Dead { .. }));
        assert!(matches!(after(29, 0, answered(503)).0, Next::Again { .. }));
        assert!(matches!(after(2, 3 * 24 * 3_600, answered(503)).0, Next::Dead { .. }));
        assert_eq!(after(29, 0, SendOutcome::NoAnswer).0, Next::Again { delay_seconds: 3_600.0 });
    }

    #[test]
    fn a_receiver_s_own_time_is_kept_within_bounds() {
        let asked = |seconds| {
            let outcome = SendOutcome::Answered { status: 429, retry_after_s: Some(seconds) };
            match after(1, 0, outcome).0 {
                Next::Again { delay_seconds } => delay_seconds,
                other => panic!("{other:?}"),
            }
        };
        assert!((asked(100) - 100.0).abs() < 1e-9);
        assert!((asked(1) - 5.0).abs() < 1e-9, "never sooner than by itself");
        assert!((asked(u32::MAX) - 3_600.0).abs() < 1e-9);
    }

    #[test]
    fn jitter_moves_a_delay_by_a_fifth() {
        let tried = Tried { tries: 1, age: Duration::ZERO };
        let (next, _) = next(&Settings::default(), tried, SendOutcome::NoAnswer, 1.0);
        assert_eq!(next, Next::Again { delay_seconds: 6.0 });
    }
}
