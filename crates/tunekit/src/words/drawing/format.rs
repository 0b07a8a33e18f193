//! Numbers for people: three significant digits, bytes in binary units, rates in decimal units.

/// `value` with `digits` significant digits and no exponent, except where it would be mostly zeros.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let exponent = value.abs().log10().floor() as i32;
    if !(-4..=9).contains(&exponent) {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    format!("{value:.decimals$}")
}

/// The shortest text for a number on an axis or in a table: no trailing zeros.
pub fn plain(value: f64) -> String {
    let rounded = significant(value, 6);
    if rounded.contains('.') && !rounded.contains('e') {
        return rounded.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    rounded
}

/// `8 MiB`; at most three significant digits, and whole bytes as they are.
pub fn bytes(value: f64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (value, 0);
    while value.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let number = if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        plain(significant(value, 3).parse().unwrap_or(value))
    };
    format!("{number} {}", UNITS[unit])
}

/// `388 MB/s`: the rate of `bytes` in `seconds`, in the decimal units in which networks are sold.
pub fn throughput(bytes: u64, seconds: f64) -> String {
    let per_second = bytes as f64 / seconds;
    let (divisor, unit) = match per_second {
        rate if rate >= 1e9 => (1e9, "GB/s"),
        rate if rate >= 1e6 => (1e6, "MB/s"),
        _ => (1e3, "kB/s"),
    };
    format!("{} {unit}", significant(per_second / divisor, 3))
}

/// `41 %` of a fraction, without a sign; one decimal if that tells more.
pub fn percent(fraction: f64) -> String {
    let percent = fraction.abs() * 100.0;
    if percent < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// `-3 %`, `44 %`.
pub fn signed_percent(fraction: f64) -> String {
    let text = percent(fraction);
    if fraction < 0.0 && text != "0.0 %" { format!("\u{2212}{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_mean_something() {
        let cases = [(8.3149, "8.31"), (0.04567, "0.0457"), (1234.5, "1234"), (99.96, "100.0"), (1e-9, "1.00e-9")];
        for (value, text) in cases {
            assert_eq!(significant(value, 3), text);
        }
        assert_eq!(significant(f64::NAN, 3), "NaN");
        assert_eq!([plain(0.5), plain(20.0), plain(1e12), plain(0.0)], ["0.5", "20", "1.00000e12", "0"]);
    }

    #[test]
    fn bytes_are_in_binary_units() {
        let cases = [
            (0.0, "0 B"),
            (1000.0, "1000 B"),
            (8388608.0, "8 MiB"),
            (1.5e6, "1.43 MiB"),
            (3.0 * 1073741824.0, "3 GiB"),
        ];
        for (value, text) in cases {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn rates_and_shares_read_well() {
        assert_eq!(throughput(3_221_225_472, 8.31), "388 MB/s");
        assert_eq!([percent(0.408), percent(-0.034)], ["41 %", "3.4 %"]);
        assert_eq!([signed_percent(-0.034), signed_percent(-0.0001)], ["\u{2212}3.4 %", "0.0 %"]);
    }
}
