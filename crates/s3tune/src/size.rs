//! Sizes as people write and read them: `3GiB`, `256MiB`, `1000000`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. Parses binary units (`KiB`, `MiB`, `GiB`, `TiB`), decimal ones (`KB`, `MB`, `GB`, `TB`) and plain
/// bytes; fractions where the result is whole (`1.5GiB`). Displays the largest binary unit that keeps it short.
///
/// ```
/// use s3tune::size::ByteSize;
///
/// assert_eq!("3GiB".parse(), Ok(ByteSize(3 << 30)));
/// assert_eq!("1000000".parse(), Ok(ByteSize(1_000_000)));
/// assert_eq!(ByteSize(3 << 30).to_string(), "3 GiB");
/// assert!("3 pounds".parse::<ByteSize>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// The error for a text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size; write it like 3GiB, 256MiB or 1000000")]
pub struct SizeError {
    text: String,
}

const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError { text: text.to_owned() };
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim().to_ascii_lowercase();
        let unit =
            UNITS.iter().find(|(name, _)| *name == unit || (unit == "b" && name.is_empty())).ok_or_else(error)?.1;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let bytes = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(unit)).ok_or_else(error)?;
        if fraction.is_empty() {
            return if number.contains('.') { Err(error()) } else { Ok(Self(bytes)) };
        }
        let scale = u32::try_from(fraction.len()).ok().and_then(|n| 10_u128.checked_pow(n)).ok_or_else(error)?;
        let part = u128::from(unit) * fraction.parse::<u64>().map(u128::from).map_err(|_| error())?;
        if !part.is_multiple_of(scale) {
            return Err(error());
        }
        u64::try_from(part / scale).ok().and_then(|part| bytes.checked_add(part)).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.into_iter().find(|(_, unit)| self.0 >= *unit) {
            None => write!(f, "{} B", self.0),
            Some((name, unit)) if self.0.is_multiple_of(unit) => write!(f, "{} {name}", self.0 / unit),
            Some((name, unit)) => write!(f, "{:.1} {name}", self.0 as f64 / unit as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_in_every_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1000000", 1_000_000),
            ("3GiB", 3 << 30),
            ("256MiB", 256 << 20),
            ("256 mib", 256 << 20),
            ("1.5GiB", 3 << 29),
            ("64KiB", 65536),
            ("5MB", 5_000_000),
            ("7B", 7),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_an_error() {
        for text in ["", "GiB", "-1", "1.", ".5", "1.5", "1..5MiB", "3XB", "99999999999999999999", "99999999TiB", "1e3"]
        {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
