//! Parts of a request's URI: escapes, and the lifetime of a presigned one.

/// The longest that a presigned URL may hold: a week.
/// "The maximum is 604800 (seven days)", and the minimum is 1: Amazon S3 API reference, "Authenticating Requests: Using
/// Query Parameters", `X-Amz-Expires`.
const LONGEST_EXPIRES: u64 = 604_800;

/// The query parameters of Signature Version 4; all or none of them.
const SIGNING: [&str; 6] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires"];

/// Percent-decodes a path or a query (RFC 3986, 2.1); text that is not an escape stays unchanged.
pub(crate) fn decode(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The reason to refuse a presigned `query` before its signature is checked (S3's `AuthorizationQueryParametersError`),
/// in S3's words if it has any; `None` if the query is well-formed, or not presigned.
pub(crate) fn query_parameters_error(query: &str) -> Option<&'static str> {
    let pairs: Vec<_> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), value))
        .collect();
    let has = |wanted: &str| pairs.iter().any(|(name, _)| name == wanted);
    if !has("X-Amz-Algorithm") && !has("X-Amz-Signature") {
        return None;
    }
    if !SIGNING.into_iter().all(has) {
        return Some(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
             X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        );
    }
    let values = pairs.iter().filter(|(name, _)| name == "X-Amz-Expires");
    values.map(|(_, value)| decode(value)).find_map(|value| expires_error(&value))
}

fn expires_error(value: &str) -> Option<&'static str> {
    let (negative, digits) = value.strip_prefix('-').map_or((false, value), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("X-Amz-Expires should be a number.");
    }
    match digits.parse::<u64>() {
        _ if negative => Some("X-Amz-Expires must be non-negative."),
        Ok(0) => Some("X-Amz-Expires must be at least one second."),
        Ok(1..=LONGEST_EXPIRES) => None,
        // Or more than the type holds.
        Ok(_) | Err(_) => Some(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_what_is_none_stays() {
        assert_eq!(decode("a%20b%2Fc%zz%4"), "a b/c%zz%4");
    }

    #[test]
    fn a_presigned_query_holds_for_one_second_to_a_week() {
        let query = |expires: &str| {
            let others = SIGNING[..5].iter().map(|name| format!("{name}=x&")).collect::<String>();
            query_parameters_error(&format!("{others}{expires}"))
        };
        for right in
            ["X-Amz-Expires=1", "X-Amz-Expires=604800", "X-Amz-Expires=%31&partNumber=1", "X-Amz-Expires=00007"]
        {
            assert_eq!(query(right), None, "{right}");
        }
        for (wrong, says) in [
            ("X-Amz-Expires=0", "at least"),
            ("X-Amz-Expires=-5", "non-negative"),
            ("X-Amz-Expires=604801", "week"),
            ("X-Amz-Expires=%3604801", "week"),
            ("X-Amz-Expires=604801&X-Amz-Expires=1", "week"),
            ("X-Amz-Expires=1&%58-Amz-Expires=604801", "week"),
            ("X-Amz-Expires=18446744073709551616", "week"),
            ("X-Amz-Expires=+9", "number"),
            ("X-Amz-Expires=1.5", "number"),
            ("X-Amz-Expires", "number"),
            ("", "requires"),
        ] {
            assert!(query(wrong).is_some_and(|said| said.contains(says)), "{wrong}: {:?}", query(wrong));
        }
        for other in ["", "partNumber=3", "Expires=1&Signature=x&AWSAccessKeyId=a", "X-Amz-Expires=0"] {
            assert_eq!(query_parameters_error(other), None, "{other}");
        }
    }
}
