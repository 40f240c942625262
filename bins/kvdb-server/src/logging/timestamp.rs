//! Times as the log has them: RFC 3339 in UTC, with microseconds.

use std::fmt;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock::unix_micros;

const SECONDS_PER_DAY: u64 = 86_400;
/// Days of 400 years; the calendar repeats after them.
const DAYS_PER_ERA: u64 = 146_097;
/// From 1 March of the year 0 to 1 January 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

/// Writes the present moment.
pub(super) struct UtcClock;

impl FormatTime for UtcClock {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write_utc(w, unix_micros())
    }
}

/// Writes a moment in Unix microseconds, as `2026-11-23T15:44:02.000017Z`.
fn write_utc(w: &mut impl fmt::Write, unix_micros: u64) -> fmt::Result {
    let (seconds, micros) = (unix_micros / 1_000_000, unix_micros % 1_000_000);
    let (year, month, day) = civil_date(seconds / SECONDS_PER_DAY);
    let second = seconds % SECONDS_PER_DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(w, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Year, month and day of a number of days after 1 January 1970.
///
/// Years are counted from March, so that the day that comes and goes is the last of a year and the lengths of the months
/// before it are a straight line: 153 days in every five of them.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    // Every fourth year is longer, every hundredth is not, the four-hundredth is.
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_after_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_after_march + 2) / 5 + 1;
    let month = if months_after_march < 10 { months_after_march + 3 } else { months_after_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(unix_micros: u64) -> String {
        let mut text = String::new();
        write_utc(&mut text, unix_micros).expect("a string takes everything");
        text
    }

    #[test]
    fn known_moments() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(utc(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(utc(1_234_567_890_123_456), "2009-02-13T23:31:30.123456Z");
        assert_eq!(utc(4_107_542_399_999_999), "2100-02-28T23:59:59.999999Z");
        assert_eq!(utc(4_107_542_400_000_000), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn every_day_of_four_hundred_years_follows_the_one_before() {
        let leap =
            |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=DAYS_PER_ERA {
            assert_eq!(civil_date(days), (year, month, day));
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
