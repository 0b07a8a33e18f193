//! Heads of HTTP/1.1 messages: the bytes of a request's head, and the facts in an answer's head about its body.
//!
//! Pure. It follows RFC 9112, and is strict where another reading could mix up two answers: such a head is an error,
//! and its connection is not used again.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};

use super::proxy::Proxy;

/// The limit on all heads of one answer together, interim heads included. S3's heads have about 500 bytes.
pub(super) const HEAD_LIMIT: usize = 64 << 10;
/// Header lines of one head. S3's are a dozen; servers that do not limit an object's metadata send them by the hundred.
const HEADERS_LIMIT: usize = 4096;
/// Room for them at first.
const HEADERS_MOSTLY: usize = 64;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether the server keeps the connection open after the body.
    pub(super) keep_alive: bool,
    /// Length of the heads: the body begins after that many bytes.
    pub(super) bytes: usize,
}

/// The sign of a body's end (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Why the bytes that came are not the head of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    /// Not HTTP/1.
    #[error("the answer is not HTTP/1: {0}")]
    Syntax(httparse::Error),
    /// Longer than [`HEAD_LIMIT`].
    #[error("the answer's head is longer than {HEAD_LIMIT} bytes")]
    TooLong,
    /// A header that does not say one thing.
    #[error("the answer's {header} header cannot be relied on: {value}")]
    Header {
        /// Its name.
        header: HeaderName,
        /// Its text.
        value: String,
    },
    /// Two headers that contradict each other.
    #[error("the answer has both Content-Length and Transfer-Encoding")]
    TwoLengths,
    /// A header that is not text.
    #[error("a header of the answer is not UTF-8")]
    NotText,
    /// Another protocol, though none was asked for.
    #[error("the answer switches protocols")]
    Upgrade,
}

/// The request's head. `origin` is the host, and the port if it is not the scheme's own. A `proxy` is asked for the
/// whole address (RFC 9112, 3.2.2).
pub(super) fn request<B>(request: &Request<B>, origin: &str, proxy: Option<&Proxy>) -> Vec<u8> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = Vec::with_capacity(1024);
    head.extend_from_slice(request.method().as_str().as_bytes());
    head.push(b' ');
    if proxy.is_some() {
        head.extend_from_slice(b"http://");
        head.extend_from_slice(origin.as_bytes());
    }
    // `http://host?query` has no path, and `OPTIONS *` is not sent here.
    if !target.starts_with('/') {
        head.push(b'/');
    }
    head.extend_from_slice(target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    let mut line = |name: &[u8], value: &[u8]| {
        for part in [name, b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    };
    if !request.headers().contains_key(HOST) {
        line(b"host", origin.as_bytes());
    }
    if let Some(authorization) = proxy.and_then(Proxy::authorization) {
        line(b"proxy-authorization", authorization.as_bytes());
    }
    for (name, value) in request.headers() {
        line(name.as_str().as_bytes(), value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The same for a request that is text already: the address without its origin, and the headers as lines.
pub(super) fn written(method: &Method, target: &str, headers: &str) -> Vec<u8> {
    let mut head = Vec::with_capacity(target.len() + headers.len() + 32);
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\n", headers, "\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    head
}

/// Host and port as the `Host` header names them, and as the signature has them: without the scheme's own port.
pub(super) fn host_header(uri: &Uri) -> Option<String> {
    let host = uri.host()?;
    match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(80), Some("http")) | (Some(443), Some("https")) => Some(host.to_owned()),
        (Some(port), _) => Some(format!("{host}:{port}")),
    }
}

/// The head of the final answer to a `method` request, if `bytes` hold all of it.
///
/// # Errors
///
/// [`HeadError`].
pub(super) fn parse(bytes: &[u8], method: &Method) -> Result<Option<Head>, HeadError> {
    let mut at = 0;
    loop {
        let head = match one(&bytes[at..])? {
            Some(head) => head,
            None if bytes.len() > HEAD_LIMIT => return Err(HeadError::TooLong),
            None => return Ok(None),
        };
        at += head.bytes;
        if at > HEAD_LIMIT {
            return Err(HeadError::TooLong);
        }
        match head.code {
            101 => return Err(HeadError::Upgrade),
            // Interim answers; the final one follows.
            100..=199 => {}
            _ => return understand(head, method, at).map(Some),
        }
    }
}

/// One head, interim or final.
struct Raw {
    code: u16,
    version: Version,
    headers: HeaderMap,
    bytes: usize,
}

/// The first head in `bytes`. Headers with names that HTTP does not allow are left out, if they are otherwise valid:
/// servers derive header names from metadata, and `x-amz-meta-a(b)` is no reason to refuse an object.
fn one(bytes: &[u8]) -> Result<Option<Raw>, HeadError> {
    match strictly(bytes) {
        Err(HeadError::Syntax(httparse::Error::HeaderName)) => {
            let (kept, left_out) = without_odd_names(bytes);
            Ok(strictly(&kept)?.map(|head| Raw { bytes: head.bytes + left_out, ..head }))
        }
        told => told,
    }
}

fn strictly(bytes: &[u8]) -> Result<Option<Raw>, HeadError> {
    let mut most = HEADERS_MOSTLY;
    loop {
        let mut headers = vec![httparse::EMPTY_HEADER; most];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => return raw(&response, length).map(Some),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) if most < HEADERS_LIMIT => most = HEADERS_LIMIT,
            Err(error) => return Err(HeadError::Syntax(error)),
        }
    }
}

fn raw(response: &httparse::Response<'_, '_>, bytes: usize) -> Result<Raw, HeadError> {
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| HeadError::Syntax(httparse::Error::HeaderName))?;
        let value =
            HeaderValue::from_bytes(header.value).map_err(|_| HeadError::Syntax(httparse::Error::HeaderValue))?;
        headers.append(name, value);
    }
    Ok(Raw { code: response.code.expect("a complete head has a status"), version, headers, bytes })
}

/// The first head in `bytes` without its lines that [have an odd name](has_odd_name), and how long these are.
fn without_odd_names(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut kept, mut left_out, mut begun) = (Vec::with_capacity(bytes.len()), 0, false);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let empty = matches!(line, b"\r\n" | b"\n");
        match begun && has_odd_name(line) {
            true => left_out += line.len(),
            false => kept.extend_from_slice(line),
        }
        if begun && empty {
            break;
        }
        // Empty lines may come before the status line.
        begun |= !empty;
    }
    (kept, left_out)
}

/// Whether the line would be a header if HTTP allowed the characters in its name (RFC 9110, 5.1 and 5.6.2). White space
/// and control characters are excluded, because with them two readers could see different lines. The end of `line` may
/// not have arrived yet.
fn has_odd_name(line: &[u8]) -> bool {
    let whole = line.strip_suffix(b"\n");
    let text = whole.unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let name = match text.iter().position(|byte| *byte == b':') {
        Some(colon) => &text[..colon],
        None if whole.is_none() => text,
        None => return false,
    };
    let visible = |byte: &u8| byte.is_ascii_graphic() || !byte.is_ascii();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let quiet = text.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    !name.is_empty() && name.iter().all(visible) && !name.iter().all(allowed) && quiet
}

fn understand(head: Raw, method: &Method, bytes: usize) -> Result<Head, HeadError> {
    let Raw { code, version, headers, .. } = head;
    let status = StatusCode::from_u16(code).map_err(|_| HeadError::Syntax(httparse::Error::Status))?;
    let framing = framing(&headers, status, version, method)?;
    let keep_alive = framing != Framing::UntilClose
        && match version {
            Version::HTTP_10 => lists(&headers, &CONNECTION, "keep-alive"),
            _ => !lists(&headers, &CONNECTION, "close"),
        };
    Ok(Head { status, headers, framing, keep_alive, bytes })
}

fn framing(headers: &HeaderMap, status: StatusCode, version: Version, method: &Method) -> Result<Framing, HeadError> {
    // The bytes behind this head are the other host's; lengths are to be ignored (RFC 9110, 9.3.6).
    if *method == Method::CONNECT && status.is_success() {
        return Ok(Framing::Length(0));
    }
    let length = content_length(headers)?;
    let coding = transfer_coding(headers, version)?;
    if length.is_some() && coding {
        return Err(HeadError::TwoLengths);
    }
    if *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(Framing::Length(0));
    }
    Ok(match length {
        Some(length) => Framing::Length(length),
        None if coding => Framing::Chunked,
        None => Framing::UntilClose,
    })
}

/// Whether the body is chunked. Other codings are never asked for, and behind one the end of the body is not known.
fn transfer_coding(headers: &HeaderMap, version: Version) -> Result<bool, HeadError> {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(false) };
    let chunked = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if chunked && values.next().is_none() && version == Version::HTTP_11 {
        Ok(true)
    } else {
        Err(unreliable(&TRANSFER_ENCODING, value))
    }
}

/// The one length that all Content-Length headers agree on.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HeadError> {
    let mut agreed = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for item in value.as_bytes().split(|byte| *byte == b',') {
            let digits = item.trim_ascii();
            // `parse` alone would take "+5".
            let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(digits).ok().filter(|_| all_digits).and_then(|text| text.parse().ok());
            match (length, agreed) {
                (Some(length), None) => agreed = Some(length),
                (Some(length), Some(before)) if length == before => {}
                _ => return Err(unreliable(&CONTENT_LENGTH, value)),
            }
        }
    }
    Ok(agreed)
}

fn unreliable(header: &HeaderName, value: &HeaderValue) -> HeadError {
    HeadError::Header { header: header.clone(), value: String::from_utf8_lossy(value.as_bytes()).into_owned() }
}

fn lists(headers: &HeaderMap, header: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(header).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(head: &str) -> Result<Option<Head>, HeadError> {
        parse(head.replace('\n', "\r\n").as_bytes(), &Method::GET)
    }

    fn whole(head: &str) -> Head {
        get(head).unwrap().unwrap()
    }

    #[test]
    fn a_request_is_written_as_it_was_signed() {
        let uri: Uri = "https://bucket.example:8443/a%20key?x-id=GetObject".parse().unwrap();
        let origin = host_header(&uri).unwrap();
        let get = Request::get(uri).header("range", "bytes=0-9").header("x-a", "b").body(()).unwrap();
        let head =
            "GET /a%20key?x-id=GetObject HTTP/1.1\r\nhost: bucket.example:8443\r\nrange: bytes=0-9\r\nx-a: b\r\n\r\n";
        assert_eq!(String::from_utf8(request(&get, &origin, None)).unwrap(), head);
        let named = Request::head("http://a/").header("host", "b").body(()).unwrap();
        assert_eq!(request(&named, "a", None), b"HEAD / HTTP/1.1\r\nhost: b\r\n\r\n");
        assert_eq!(
            request(&Request::get("http://a?b").body(()).unwrap(), "a", None),
            b"GET /?b HTTP/1.1\r\nhost: a\r\n\r\n"
        );
    }

    #[test]
    fn the_schemes_own_port_is_not_in_the_host_header() {
        for (uri, host) in [
            ("http://a:80/", "a"),
            ("https://a:443/", "a"),
            ("http://a:443/", "a:443"),
            ("http://127.0.0.1:9000/", "127.0.0.1:9000"),
            ("http://[::1]:9000/", "[::1]:9000"),
        ] {
            assert_eq!(host_header(&uri.parse().unwrap()).as_deref(), Some(host));
        }
    }

    #[test]
    fn the_end_of_a_body_is_known_by_what_its_head_says() {
        let framed = |head: &str| {
            let head = whole(head);
            (head.framing, head.keep_alive)
        };
        assert_eq!(framed("HTTP/1.1 206 Partial Content\ncontent-length: 45\n\n"), (Framing::Length(45), true));
        assert_eq!(framed("HTTP/1.1 200 OK\nContent-Length: 5, 5\ncontent-length:5\n\n"), (Framing::Length(5), true));
        assert_eq!(framed("HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\n\n"), (Framing::Chunked, true));
        assert_eq!(framed("HTTP/1.1 200 OK\n\n"), (Framing::UntilClose, false));
        assert_eq!(framed("HTTP/1.1 304 Not Modified\ncontent-length: 9\n\n"), (Framing::Length(0), true));
        assert_eq!(framed("HTTP/1.1 204 No Content\n\n"), (Framing::Length(0), true));
        assert_eq!(framed("HTTP/1.1 200 OK\ncontent-length: 5\nconnection: x, Close\n\n"), (Framing::Length(5), false));
        assert_eq!(framed("HTTP/1.0 200 OK\ncontent-length: 5\n\n"), (Framing::Length(5), false));
        assert_eq!(
            framed("HTTP/1.0 200 OK\ncontent-length: 5\nconnection: keep-alive\n\n"),
            (Framing::Length(5), true)
        );
        let head = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", &Method::HEAD).unwrap().unwrap();
        assert_eq!((head.framing, head.headers[CONTENT_LENGTH].as_bytes()), (Framing::Length(0), &b"5"[..]));
    }

    #[test]
    fn a_head_that_contradicts_itself_is_an_error() {
        for headers in [
            "content-length: 5\ncontent-length: 6",
            "content-length: 5, 6",
            "content-length: +5",
            "content-length: -5",
            "content-length:",
            "content-length: 5,",
            "content-length: 99999999999999999999",
            "content-length: 5\ntransfer-encoding: chunked",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: gzip\ntransfer-encoding: chunked",
            "transfer-encoding: identity",
            "a: b\n folded",
            "a b: c",
        ] {
            assert!(get(&format!("HTTP/1.1 200 OK\n{headers}\n\n")).is_err(), "{headers}");
        }
        assert!(get("HTTP/1.0 200 OK\ntransfer-encoding: chunked\n\n").is_err());
        assert!(get("HTTP/2 200 OK\n\n").is_err());
        assert!(get("SSH-2.0-OpenSSH_9\n").is_err());
        assert_eq!(get("HTTP/1.1 101 Switching Protocols\n\n").unwrap_err(), HeadError::Upgrade);
    }

    #[test]
    fn headers_with_names_that_are_none_are_left_out() {
        let odd = "x-amz-meta-a(b): c\nx-amz-meta-\u{fc}: d\n{}@: e\n\"content-length\": 9\n";
        let text = format!("HTTP/1.1 200 OK\n{odd}content-length: 5\n{odd}etag: x\n\nx(y: body\n");
        let head = whole(&text);
        assert_eq!((head.headers.len(), head.framing), (2, Framing::Length(5)));
        assert_eq!(head.bytes, text.replace('\n', "\r\n").len() - "x(y: body\r\n".len());
        // Any beginning of it.
        let sent = text.replace('\n', "\r\n");
        for at in 0..head.bytes {
            assert!(parse(&sent.as_bytes()[..at], &Method::GET).unwrap().is_none(), "{at}");
        }
        for wrong in
            ["a(b : c", " a(b): c", "a(b)", ": c", "a(b): \0", "a(b): c\rcontent-length: 7", "a(b): c\n folded"]
        {
            assert!(get(&format!("HTTP/1.1 200 OK\n{wrong}\ncontent-length: 5\n\n")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn interim_answers_are_skipped() {
        let text =
            "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nlink: x\n\nHTTP/1.1 206 OK\ncontent-length: 1\n\nB";
        let head = whole(text);
        assert_eq!((head.status.as_u16(), head.framing), (206, Framing::Length(1)));
        assert_eq!(head.bytes, text.replace('\n', "\r\n").len() - 1);
        assert!(get("HTTP/1.1 100 Continue\n\nHTTP/1.1 2").unwrap().is_none());
    }

    #[test]
    fn a_head_has_a_limit() {
        let long = format!("HTTP/1.1 200 OK\na: {}\n", "x".repeat(HEAD_LIMIT));
        assert_eq!(get(&long).unwrap_err(), HeadError::TooLong);
        assert_eq!(get(&format!("{long}\n")).unwrap_err(), HeadError::TooLong);
        let many = format!("HTTP/1.1 200 OK\n{}\n", "a: b\n".repeat(HEADERS_LIMIT + 1));
        assert_eq!(get(&many).unwrap_err(), HeadError::Syntax(httparse::Error::TooManyHeaders));
        let endless = "HTTP/1.1 100 Continue\n\n".repeat(HEAD_LIMIT / 20);
        assert_eq!(get(&endless).unwrap_err(), HeadError::TooLong);
    }

    proptest! {
        #[test]
        fn no_prefix_of_a_head_is_taken_for_a_head(at in 0_usize..66) {
            let head = b"HTTP/1.1 206 Partial Content\r\nx-a: b\r\ncontent-length: 12345\r\n\r\nbody";
            let length = head.len() - 4;
            prop_assert!(parse(&head[..at.min(length - 1)], &Method::GET).unwrap().is_none());
            prop_assert_eq!(parse(head, &Method::GET).unwrap().unwrap().bytes, length);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &Method::GET);
            let _ = parse(&[b"HTTP/1.1 200 OK\r\n", &bytes[..], b"\r\n\r\n"].concat(), &Method::GET);
        }
    }
}
