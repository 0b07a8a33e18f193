//! One page of a bucket's keys: prefix, delimiter, marker and page size, for both versions of ListObjects and for
//! ListMultipartUploads (Amazon S3 API reference, "ListObjectsV2").

/// One entry of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Key(&'a str),
    /// All keys with the same text up to and including the delimiter, as one entry.
    CommonPrefix(&'a str),
}

/// One page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<'a> {
    pub(crate) entries: Vec<Entry<'a>>,
    /// The last entry's text where more entries follow: the next page's `after`.
    pub(crate) next: Option<&'a str>,
}

/// Lists `keys` (in ascending byte order, without duplicates) that start with `prefix` and come after `after`.
///
/// `after` may be a key or a common prefix of an earlier page; keys rolled into that prefix are not listed again.
pub(crate) fn page<'a>(
    keys: impl Iterator<Item = &'a str>,
    prefix: &str,
    delimiter: Option<&str>,
    after: Option<&str>,
    max: usize,
) -> Page<'a> {
    let delimiter = delimiter.filter(|d| !d.is_empty());
    // Uploads are listed as key and id with a 0 byte between them, which no key holds: only the key is rolled up.
    let in_key = |rest: &'a str| rest.split('\0').next().unwrap_or_default();
    let mut entries: Vec<Entry<'a>> = Vec::new();
    let mut last: Option<&'a str> = None;
    for key in keys {
        let Some(rest) = key.strip_prefix(prefix) else { continue };
        let rolled = delimiter.and_then(|d| in_key(rest).find(d).map(|at| &key[..prefix.len() + at + d.len()]));
        if after.is_some_and(|after| key <= after || rolled == Some(after)) {
            continue;
        }
        if rolled.is_some() && rolled == last {
            continue;
        }
        if entries.len() == max {
            // A page for which no entries were asked is complete by definition. Otherwise this entry begins the next
            // page.
            return Page { entries, next: last };
        }
        last = Some(rolled.unwrap_or(key));
        entries.push(rolled.map_or(Entry::Key(key), Entry::CommonPrefix));
    }
    Page { entries, next: None }
}

/// `encoding-type=url`: percent-encodes all but unreserved characters and `/` (RFC 3986, 2.3).
pub(crate) fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// An opaque continuation token for an entry's text: its bytes in hexadecimal behind a version digit.
pub(crate) fn token(entry: &str) -> String {
    entry.bytes().fold(String::from("1"), |out, byte| out + &format!("{byte:02x}"))
}

/// The entry a token names; `None` where the token is none of ours.
pub(crate) fn parse_token(token: &str) -> Option<String> {
    let hex = token.strip_prefix('1').filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()) && hex.len() % 2 == 0)?;
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<_>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_are_rolled_up_and_paged() {
        let keys = ["a/1", "a/2", "b", "c/1", "c/2", "d"];
        let first = page(keys.into_iter(), "", Some("/"), None, 2);
        assert_eq!(first.entries, [Entry::CommonPrefix("a/"), Entry::Key("b")]);
        assert_eq!(first.next, Some("b"));
        let second = page(keys.into_iter(), "", Some("/"), first.next, 1);
        assert_eq!(second.entries, [Entry::CommonPrefix("c/")]);
        let third = page(keys.into_iter(), "", Some("/"), second.next, 10);
        assert_eq!((third.entries, third.next), (vec![Entry::Key("d")], None));
        let inside = page(keys.into_iter(), "a/", Some("/"), None, 10);
        assert_eq!(inside.entries, [Entry::Key("a/1"), Entry::Key("a/2")]);
    }

    #[test]
    fn a_page_of_none_is_complete() {
        assert_eq!(page(["a"].into_iter(), "", None, None, 0), Page { entries: vec![], next: None });
    }

    #[test]
    fn tokens_that_are_not_ours_are_refused() {
        for wrong in ["", "2aa", "1a", "1zz", "1ff", "1é"] {
            assert_eq!(parse_token(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn encoding_keeps_slashes() {
        assert_eq!(url_encode("a b/ü+.txt"), "a%20b/%C3%BC%2B.txt");
    }

    proptest! {
        #[test]
        fn pages_joined_are_the_whole_listing(
            keys in prop::collection::btree_set("[ab/]{1,5}", 0..30), prefix in "[ab/]{0,2}", delimiter in prop::option::of("/"), size in 1..5_usize
        ) {
            let model: Vec<String> = keys.iter().filter(|k| k.starts_with(&prefix)).map(|k| {
                match delimiter.as_ref().and_then(|_| k[prefix.len()..].find('/')) {
                    Some(at) => k[..=prefix.len() + at].to_owned(),
                    None => k.clone(),
                }
            }).collect::<BTreeSet<_>>().into_iter().collect();
            let (mut joined, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = page(keys.iter().map(String::as_str), &prefix, delimiter.as_deref(), after.as_deref(), size);
                prop_assert!(page.entries.len() <= size);
                joined.extend(page.entries.iter().map(|e| match e { Entry::Key(k) | Entry::CommonPrefix(k) => (*k).to_owned() }));
                match page.next {
                    Some(next) => after = parse_token(&token(next)),
                    None => break,
                }
            }
            prop_assert_eq!(joined, model);
        }

        #[test]
        fn the_id_of_an_upload_is_never_rolled_up(key in "[ab-]{1,4}", delimiter in "[u-]") {
            let joined = format!("{key}\0upload-1");
            let page = page([joined.as_str()].into_iter(), "", Some(&delimiter), None, 9);
            let expected = match key.find(&delimiter) {
                Some(at) => Entry::CommonPrefix(&key[..=at]),
                None => Entry::Key(&joined),
            };
            prop_assert_eq!(page.entries, vec![expected]);
        }

        #[test]
        fn tokens_read_back(entry in ".{0,40}") {
            prop_assert_eq!(parse_token(&token(&entry)), Some(entry));
        }
    }
}
