//! Times on the wire.

use std::time::{Duration, SystemTime};

/// A time such as `2026-01-31T10:00:00.25Z`, to the second; `None` when it has another form.
pub fn parse_utc(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?.split_once('T')?;
    let (time, _fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let sound = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sound || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that the leap day is last.
const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_month = (153 * month + 2) / 5;
    365 * year + year / 4 - year / 100 + year / 400 + days_before_month + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2013-01-31T10:00:00.123456789Z", 1_359_626_400),
            ("2026-12-31T23:59:59+00:00", 1_798_761_599),
        ] {
            assert_eq!(
                parse_utc(text),
                Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for bad in ["", "2013-01-31", "2013-01-31T10:00:00", "2013-13-01T00:00:00Z", "2013-01-01T00:00Z"] {
            assert_eq!(parse_utc(bad), None, "{bad:?} must be refused");
        }
    }
}
