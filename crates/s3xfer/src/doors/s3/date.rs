//! Points in time as servers write them into `Last-Modified`.
//!
//! RFC 9110, 5.6.7 has three forms, all of which a recipient must accept. Servers write others: another name for GMT, a
//! day without its leading zero, ISO 8601 as S3 has it in its listings. Pure.

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Seconds and nanoseconds of the Unix epoch; `None` for text that is no time.
pub(super) fn parse(text: &str) -> Option<(i64, u32)> {
    let text = text.trim();
    if text.starts_with(|first: char| first.is_ascii_digit()) && text.contains(['T', 't']) {
        return iso_8601(text);
    }
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match *words {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [_, day, month, year, time, zone] => time_of(digits(year)?, named(month)?, day, time, offset(zone)?),
        // 06 Nov 1994 08:49:37 GMT
        [day, month, year, time, zone] if day.starts_with(|first: char| first.is_ascii_digit()) => {
            time_of(digits(year)?, named(month)?, day, time, offset(zone)?)
        }
        // Sun Nov  6 08:49:37 1994
        [_, month, day, time, year] => time_of(digits(year)?, named(month)?, day, time, 0),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [_, date, time, zone] => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, named(parts.next()?)?, digits(parts.next()?)?);
            // Two digits, and not more than 50 years in the future.
            let year = if year >= 100 {
                year
            } else if year < 77 {
                2000 + year
            } else {
                1900 + year
            };
            time_of(year, month, day, time, offset(zone)?)
        }
        _ => None,
    }
}

/// `1994-11-06T08:49:37.000Z`, or with an offset.
fn iso_8601(text: &str) -> Option<(i64, u32)> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let mut parts = date.split('-');
    let (year, month, day) = (digits(parts.next()?)?, digits(parts.next()?)?, parts.next()?);
    let (time, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    time_of(year, month, day, time, offset(zone)?).filter(|_| parts.next().is_none())
}

/// `time` is `hours:minutes:seconds` with a fraction or not; `ahead` is by how many seconds its clock is ahead of
/// UTC's.
fn time_of(year: i64, month: i64, day: &str, time: &str, ahead: i64) -> Option<(i64, u32)> {
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = time.split(':').map(digits);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let day = digits(day)?;
    // A leap second is the 60th.
    let in_range = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hours < 24
        && minutes < 60
        && seconds <= 60
        && parts.next().is_none();
    // Digits beyond the nanosecond are cut off.
    let nanoseconds = digits(format!("{fraction:0<9}").get(..9)?)?;
    let at = days(year, month, day) * 86_400 + hours * 3600 + minutes * 60 + seconds - ahead;
    in_range.then_some((at, u32::try_from(nanoseconds).ok()?))
}

/// Days since 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `GMT` and its names, `+0100`, `-01:00`; in seconds.
fn offset(zone: &str) -> Option<i64> {
    if ["gmt", "utc", "ut", "z"].iter().any(|name| zone.eq_ignore_ascii_case(name)) {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let number = zone[1..].replacen(':', "", 1);
    let hours_and_minutes = digits(&number).filter(|_| number.len() == 4)?;
    Some(sign * (hours_and_minutes / 100 * 3600 + hours_and_minutes % 100 * 60))
}

fn named(month: &str) -> Option<i64> {
    let at = MONTHS.iter().position(|name| month.get(..3).is_some_and(|month| month.eq_ignore_ascii_case(name)))?;
    i64::try_from(at + 1).ok()
}

/// One to nine digits, and nothing else.
fn digits(text: &str) -> Option<i64> {
    let right = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_forms_of_one_time_are_that_time() {
        for form in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 09:49:37 +0100",
            "06 November 1994 08:49:37 Z",
            "sun, 06 nov 1994 08:49:37 gmt",
            "1994-11-06T08:49:37Z",
            "1994-11-06T08:49:37.000Z",
            "1994-11-06T07:49:37-01:00",
            " 1994-11-06t08:49:37+00:00 ",
        ] {
            assert_eq!(parse(form), Some((784_111_777, 0)), "{form}");
        }
        assert_eq!(parse("1994-11-06T08:49:37.5Z"), Some((784_111_777, 500_000_000)));
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 GMT"), Some((0, 0)));
        assert_eq!(parse("Thu, 29 Feb 2024 00:00:00 GMT"), Some((1_709_164_800, 0)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for wrong in [
            "",
            "0",
            "-1",
            "never",
            "1994-11-06",
            "1994-11-06T08:49:37",
            "1994-13-06T08:49:37Z",
            "1994-11-06-01T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37 EST",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "784111777",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn what_looks_like_a_time_does_not_make_it_panic(text in "[0-9TZ:. ,+a-zé-]{0,40}") {
            let _ = parse(&text);
        }
    }
}
