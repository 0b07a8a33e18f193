//! The time of a file's last change as it is kept with an object: the metadata entry `mtime`, seconds of the Unix epoch
//! with a fraction, as rclone writes and reads it (its documentation, "Amazon S3", "Modification times and hashes").

use std::time::{Duration, SystemTime};

/// The metadata entry.
pub(crate) const NAME: &str = "mtime";
/// The end of the year 9999. No real file has a later time, and file systems treat later times differently.
const MOST_SECONDS: u64 = 253_402_300_799;

/// The entry's value; `None` before 1970.
pub(crate) fn written(time: SystemTime) -> Option<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{}.{:09}", since.as_secs(), since.subsec_nanos()))
}

/// The time that such a value says; `None` for any other text. Digits behind the ninth are cut off.
pub(crate) fn read(text: &str) -> Option<SystemTime> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) {
        return None;
    }
    let seconds: u64 = seconds.parse().ok().filter(|seconds| *seconds <= MOST_SECONDS)?;
    let nanoseconds: u32 = format!("{fraction:0<9}")[..9].parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written_and_as_others_write_it() {
        for (seconds, nanoseconds) in [(0, 0), (1, 5), (1_700_000_000, 123_456_789), (MOST_SECONDS, 999_999_999)] {
            let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            assert_eq!(read(&written(time).unwrap()), Some(time));
        }
        let time = |nanoseconds| Some(SystemTime::UNIX_EPOCH + Duration::new(17, nanoseconds));
        assert_eq!(
            [read("17"), read("17."), read("17.5"), read("17.1234567891")],
            [time(0), time(0), time(500_000_000), time(123_456_789)]
        );
        for odd in
            ["", ".", ".5", "-1", "+1", "1e9", " 1", "1.-5", "1.5.5", "253402300800", "99999999999999999999999", "é"]
        {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert_eq!(written(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
    }
}
