//! Signature Version 4, as far as requests without a body need it: one SHA-256 and one HMAC for each request, for the
//! key that takes four more is kept for the day.
//!
//! "Create a signed AWS API request":
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. Pure.

use std::fmt;

use aws_smithy_types::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The only algorithm that is signed by here.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A point in time as signatures have it: `20261129T204716Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(String);

impl Stamp {
    /// `None` for a year that has not four digits.
    pub(super) fn of(seconds: i64) -> Option<Self> {
        let days = seconds.div_euclid(86_400);
        let (hours, minutes, rest) = {
            let of_day = seconds.rem_euclid(86_400);
            (of_day / 3600, of_day / 60 % 60, of_day % 60)
        };
        let (year, month, day) = date(days);
        let four_digits = (0..=9999).contains(&year);
        four_digits.then(|| Self(format!("{year:04}{month:02}{day:02}T{hours:02}{minutes:02}{rest:02}Z")))
    }

    /// Seconds of the Unix epoch; `None` for text that is no stamp.
    pub(super) fn seconds(text: &str) -> Option<i64> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let digits = |text: &str, bytes| text.len() == bytes && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(date, 8) || !digits(time, 6) {
            return None;
        }
        let iso =
            format!("{}-{}-{}T{}:{}:{}Z", &date[..4], &date[4..6], &date[6..], &time[..2], &time[2..4], &time[4..]);
        let time = DateTime::from_str(&iso, aws_smithy_types::date_time::Format::DateTime).ok()?;
        Some(time.secs())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn day(&self) -> &str {
        &self.0[..8]
    }
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Signs the requests of one day, by one secret, in one region.
#[derive(Clone)]
pub(super) struct SigningKey {
    day: String,
    /// `20261129/us-east-1/s3/aws4_request`.
    scope: String,
    /// With the key taken in, so that a request costs the blocks of its own text.
    keyed: Hmac<Sha256>,
}

impl SigningKey {
    pub(super) fn new(secret: &str, day: &str, region: &str, service: &str) -> Self {
        let first = keyed(format!("AWS4{secret}").as_bytes());
        let last = [day, region, service, "aws4_request"]
            .into_iter()
            .fold(first, |key, part| keyed(&key.chain_update(part).finalize().into_bytes()));
        Self { day: day.to_owned(), scope: format!("{day}/{region}/{service}/aws4_request"), keyed: last }
    }

    pub(super) fn is_of(&self, day: &str) -> bool {
        self.day == day
    }

    pub(super) fn scope(&self) -> &str {
        &self.scope
    }

    /// The signature of a canonical request, in hexadecimal digits.
    pub(super) fn sign(&self, stamp: &Stamp, canonical_request: &[u8]) -> [u8; 64] {
        let hash = hex(&Sha256::digest(canonical_request).into());
        let mut mac = self.keyed.clone();
        for part in [ALGORITHM.as_bytes(), b"\n", stamp.as_str().as_bytes(), b"\n", self.scope.as_bytes(), b"\n", &hash]
        {
            mac.update(part);
        }
        hex(&mac.finalize().into_bytes().into())
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("an HMAC takes a key of any length")
}

fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// Without the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("scope", &self.scope).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// "Example: GET Object" of the S3 API Reference, "Signature Calculations for the Authorization Header".
    #[test]
    fn the_example_of_the_documentation_is_signed_as_there() {
        let stamp = Stamp::of(1_369_353_600).unwrap();
        assert_eq!((stamp.as_str(), stamp.day()), ("20130524T000000Z", "20130524"));
        let key = SigningKey::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", stamp.day(), "us-east-1", "s3");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let canonical = format!(
            "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\nx-amz-content-sha256:{empty}\n\
             x-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n{empty}"
        );
        let signature = key.sign(&stamp, canonical.as_bytes());
        assert_eq!(
            std::str::from_utf8(&signature).unwrap(),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(key.scope(), "20130524/us-east-1/s3/aws4_request");
        assert!(key.is_of("20130524") && !key.is_of("20130525"));
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = SigningKey::new("geheim", "20130524", "us-east-1", "s3");
        assert_eq!(format!("{key:?}"), "SigningKey { scope: \"20130524/us-east-1/s3/aws4_request\", .. }");
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for wrong in ["", "20130524", "20130524T000000", "2013-05-24T00:00:00Z", "20131324T000000Z", "2013052éT000000Z"]
        {
            assert_eq!(Stamp::seconds(wrong), None, "{wrong}");
        }
        assert_eq!(Stamp::of(i64::MAX / 1000), None);
    }

    proptest! {
        #[test]
        fn a_stamp_means_its_second(seconds in -2_000_000_000_i64..250_000_000_000) {
            prop_assert_eq!(Stamp::seconds(Stamp::of(seconds).unwrap().as_str()), Some(seconds));
        }
    }
}
