//! Whether a sync transfers an object that its target has already.
//!
//! The default is the AWS CLI's rule for uploads and copies: another size, or a newer source
//! (`awscli/customizations/s3/syncstrategy/base.py`). Downloads follow the same rule here.

use std::time::SystemTime;

use crate::words::compare::Compare;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) bytes: u64,
    /// `None`: the server does not tell. It is taken for newer than anything as a source, for older as a target.
    pub(crate) modified: Option<SystemTime>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Transfer,
    /// The checksums decide.
    Ask,
}

/// Compares an object of the source with the target's.
pub(crate) fn compare(rule: Compare, source: Side, target: Side) -> Verdict {
    let newer = match (source.modified, target.modified) {
        (Some(source), Some(target)) => seconds(source) > seconds(target),
        _ => true,
    };
    let transfer = match rule {
        Compare::SizeAndTime => source.bytes != target.bytes || newer,
        Compare::SizeOnly => source.bytes != target.bytes,
        Compare::Update => newer,
        Compare::Checksum if source.bytes == target.bytes => return Verdict::Ask,
        Compare::Checksum => true,
    };
    if transfer { Verdict::Transfer } else { Verdict::Same }
}

/// Since the epoch, rounded down.
fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos().div_ceil(1_000_000_000)).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn side(bytes: u64, milliseconds: i64) -> Side {
        let by = Duration::from_millis(milliseconds.unsigned_abs());
        let epoch = SystemTime::UNIX_EPOCH;
        Side { bytes, modified: Some(if milliseconds < 0 { epoch - by } else { epoch + by }) }
    }

    #[test]
    fn each_rule_sees_what_it_is_for() {
        use Compare::*;
        use Verdict::*;
        for (rule, source, target, verdict) in [
            (SizeAndTime, side(1, 5_000), side(1, 5_000), Same),
            (SizeAndTime, side(1, 5_900), side(1, 5_000), Same),
            (SizeAndTime, side(1, 6_000), side(1, 5_999), Transfer),
            (SizeAndTime, side(1, 0), side(2, 9_000), Transfer),
            (SizeOnly, side(1, 9_000), side(1, 0), Same),
            (SizeOnly, side(1, 0), side(2, 0), Transfer),
            (Update, side(1, 0), side(2, 9_000), Same),
            (Update, side(1, 9_000), side(1, 0), Transfer),
            (Checksum, side(1, 0), side(1, 9_000), Ask),
            (Checksum, side(1, 0), side(2, 0), Transfer),
        ] {
            assert_eq!(compare(rule, source, target), verdict, "{rule:?} {source:?} {target:?}");
        }
        let unknown = Side { bytes: 1, modified: None };
        assert_eq!(compare(SizeAndTime, unknown, side(1, 0)), Transfer);
        assert_eq!(compare(SizeOnly, unknown, side(1, 0)), Same);
    }

    proptest! {
        #[test]
        fn a_transfer_settles_it(bytes in 0u64..3, then in -9_000i64..9_000, later in 0i64..9_000) {
            // A file that has just been written is as large, and not older.
            for rule in [Compare::SizeAndTime, Compare::SizeOnly, Compare::Update] {
                prop_assert_eq!(compare(rule, side(bytes, then), side(bytes, then + later)), Verdict::Same);
            }
        }

        #[test]
        fn another_size_is_never_the_same_but_for_update(a in 0u64..9, b in 0u64..9, at in 0i64..9_000, to in 0i64..9_000) {
            prop_assume!(a != b);
            for rule in [Compare::SizeAndTime, Compare::SizeOnly, Compare::Checksum] {
                prop_assert_eq!(compare(rule, side(a, at), side(b, to)), Verdict::Transfer);
            }
        }
    }
}
