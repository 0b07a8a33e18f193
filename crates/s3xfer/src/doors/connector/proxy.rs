//! Proxies: the choice of a proxy for each request, from the environment.
//!
//! Pure: the variables come in as an argument. `https://` endpoints use `https_proxy`, `http://` endpoints
//! `http_proxy`, and both `all_proxy` if the first variable is not set. Lower case takes precedence over upper case,
//! and an empty variable counts as not set, as in curl. `HTTP_PROXY` in upper case is ignored in a CGI program, where
//! it is a header of the requester (httpoxy).
//!
//! `no_proxy` lists, with commas or blanks between them, the hosts that are reached without a proxy: `*` for
//! everything; a name, with or without a dot or `*.` before it, for that host and all below it (curl, botocore); an
//! address; a network as `10.0.0.0/8` (curl since 7.86, Go); and each of them but a network may have a port behind it,
//! and is for that port then (botocore, Go). This machine itself (`localhost`, `127.0.0.0/8`, `::1`) is never reached
//! through a proxy, as in Go's net/http, because nobody means the proxy's own loopback interface.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use aws_smithy_types::base64;

/// The port of a proxy whose address has no port.
const DEFAULT_PORT: u16 = 80;

/// This machine itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

/// Kinds of proxies that others know.
const OTHER_KINDS: [&str; 6] = ["https", "socks", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies that the environment names.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    https: Option<Named>,
    http: Option<Named>,
    exceptions: Vec<Exception>,
}

/// The proxy that one variable names. An error concerns only requests that would go through it.
type Named = Result<Arc<Proxy>, ProxyError>;

/// An HTTP proxy. It displays without its password, and so it may be logged.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Proxy {
    variable: &'static str,
    host: String,
    port: u16,
    authorization: Option<String>,
}

/// Why a proxy cannot be used. The variable's value may have a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    /// Not of the kind that is known here.
    #[error(
        "{variable} names a proxy of the kind {kind}://, and only http:// proxies are known here; name one of those, list the \
         endpoint in NO_PROXY, or set an HTTP client of your own on the SDK's configuration"
    )]
    Kind {
        /// The variable that names it.
        variable: &'static str,
        /// Its scheme.
        kind: &'static str,
    },
    /// Not an address.
    #[error("{variable} is not the address of a proxy; its form is http://user:password@host:port")]
    Address {
        /// The variable that names it.
        variable: &'static str,
    },
}

/// The hosts that are reached without a proxy.
#[derive(Debug, PartialEq, Eq)]
enum Exception {
    Everything,
    Network {
        address: IpAddr,
        bits: u32,
        port: Option<u16>,
    },
    /// The host and all below it.
    Domain {
        name: String,
        port: Option<u16>,
    },
}

impl Proxies {
    /// The proxies of this process's environment as it is now, none of them for this machine itself.
    pub(super) fn from_env() -> Self {
        Self::new(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned())).but_not_for_loopback()
    }

    /// The proxies of an environment; `value_of` returns the value of a variable.
    pub(super) fn new(value_of: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| value_of(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let first = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, set(name)?)));
        let named = |names: &[&'static str]| first(names).map(|(name, value)| Proxy::parse(name, &value).map(Arc::new));
        let cgi = set("REQUEST_METHOD").is_some();
        let all = || named(&["all_proxy", "ALL_PROXY"]);
        let https = named(&["https_proxy", "HTTPS_PROXY"]).or_else(all);
        let http = named(if cgi { &["http_proxy"] } else { &["http_proxy", "HTTP_PROXY"] }).or_else(all);
        let list = first(&["no_proxy", "NO_PROXY"]).map_or_else(String::new, |(_, list)| list);
        let items = list.split(|between: char| between == ',' || between.is_whitespace());
        Self { https, http, exceptions: items.filter_map(Exception::parse).collect() }
    }

    /// The same, but for requests to this machine itself.
    fn but_not_for_loopback(mut self) -> Self {
        self.exceptions.extend(LOOPBACK.into_iter().filter_map(Exception::parse));
        self
    }

    /// Whether there are none, for any target.
    pub(super) fn is_empty(&self) -> bool {
        self.https.is_none() && self.http.is_none()
    }

    /// The proxy for requests to this host.
    ///
    /// # Errors
    ///
    /// [`ProxyError`] if the environment names a proxy that cannot be used.
    pub(super) fn of(&self, tls: bool, host: &str, port: u16) -> Result<Option<Arc<Proxy>>, ProxyError> {
        let named = if tls { &self.https } else { &self.http };
        match named {
            Some(named) if !self.exceptions.iter().any(|exception| exception.holds(host, port)) => {
                named.clone().map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Proxy {
    fn parse(variable: &'static str, value: &str) -> Result<Self, ProxyError> {
        let (kind, rest) = value.split_once("://").unwrap_or(("http", value));
        if let Some(kind) = OTHER_KINDS.into_iter().find(|other| kind.eq_ignore_ascii_case(other)) {
            return Err(ProxyError::Kind { variable, kind });
        }
        let wrong = || ProxyError::Address { variable };
        if !kind.eq_ignore_ascii_case("http") {
            return Err(wrong());
        }
        // A password may have an @ in it, though it should not.
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let place = place.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, if port.is_empty() { None } else { Some(port) }),
            _ => (place, None),
        };
        let port = port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok()).ok_or_else(wrong)?;
        let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'@');
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || !host.bytes().all(fits) || (host.contains(':') && !bracketed) {
            return Err(wrong());
        }
        let authorization = user.filter(|user| !user.is_empty()).map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            format!("Basic {}", base64::encode([&percent_decoded(name)[..], b":", &percent_decoded(password)].concat()))
        });
        Ok(Self { variable, host: host.to_owned(), port, authorization })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Proxy-Authorization`, a secret.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{} (from {})", self.host, self.port, self.variable)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Exception {
    /// An entry that is not a name, an address or a network matches nothing.
    fn parse(item: &str) -> Option<Self> {
        if item == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = item.split_once('/') {
            let (address, bits) = (bare(address).parse::<IpAddr>().ok()?, bits.parse().ok()?);
            return (bits <= width(address)).then_some(Self::Network { address, bits, port: None });
        }
        let (host, port) = match item.rsplit_once(':') {
            // The last group of an IPv6 address, with or without brackets, is not a port.
            Some(_) if bare(item).parse::<IpAddr>().is_ok() => (item, None),
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (item, None),
        };
        if let Ok(address) = bare(host).parse() {
            return Some(Self::Network { address, bits: width(address), port });
        }
        let name = host.strip_prefix('*').unwrap_or(host).trim_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Domain { name, port })
    }

    fn holds(&self, host: &str, asked: u16) -> bool {
        let host = bare(host);
        match self {
            Self::Everything => true,
            Self::Network { address, bits, port } => {
                let near = |host: IpAddr| same_network(host.to_canonical(), address.to_canonical(), *bits);
                port.is_none_or(|port| port == asked) && host.parse().is_ok_and(near)
            }
            Self::Domain { name, port } => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                port.is_none_or(|port| port == asked) && below && host.parse::<IpAddr>().is_err()
            }
        }
    }
}

/// In a URI, IPv6 addresses are in brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { u32::BITS } else { u128::BITS }
}

fn same_network(one: IpAddr, other: IpAddr, bits: u32) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(u32::BITS.saturating_sub(bits)).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(u128::BITS.saturating_sub(bits)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// RFC 3986, 2.1; a % that begins nothing stays one.
fn percent_decoded(text: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        rest = behind;
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = &behind[2..];
            }
            _ => decoded.push(byte),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let value = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        Proxies::new(value)
    }

    fn of(variables: &[(&str, &str)], tls: bool) -> Option<String> {
        proxies(variables).of(tls, "bucket.example", 443).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn each_scheme_has_its_variables_and_the_first_that_is_set_counts() {
        let (a, b) = (("https_proxy", "http://a:1"), ("HTTPS_PROXY", "http://b:2"));
        let (c, d) = (("ALL_PROXY", "http://c:3"), ("http_proxy", "http://d:4"));
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(of(&[a, b, c, d], true), said("http://a:1 (from https_proxy)"));
        assert_eq!(of(&[b, c, d], true), said("http://b:2 (from HTTPS_PROXY)"));
        assert_eq!(of(&[("https_proxy", ""), b], true), said("http://b:2 (from HTTPS_PROXY)"));
        assert_eq!(of(&[c, d], true), said("http://c:3 (from ALL_PROXY)"));
        assert_eq!(of(&[c, d], false), said("http://d:4 (from http_proxy)"));
        assert_eq!(of(&[a, b], false), None);
        assert_eq!(of(&[d], true), None);
        let (cgi, e) = (("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://e:5"));
        assert_eq!(of(&[e], false), said("http://e:5 (from HTTP_PROXY)"));
        assert_eq!(of(&[e, cgi], false), None);
        assert!(proxies(&[]).is_empty() && !proxies(&[c]).is_empty());
    }

    #[test]
    fn addresses_of_proxies_may_leave_out_what_goes_without_saying() {
        for (value, host, port, authorization) in [
            ("http://a:3128", "a", 3128, None),
            ("HTTP://a:3128/path?x", "a", 3128, None),
            ("a", "a", 80, None),
            ("a:8080", "a", 8080, None),
            ("http://[::1]:3128", "[::1]", 3128, None),
            ("http://[::1]", "[::1]", 80, None),
            ("http://Aladdin:open%20sesame@a", "a", 80, Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("u@a:1", "a", 1, Some("Basic dTo=")),
            ("http://u:p@ss%zz@a:1", "a", 1, Some("Basic dTpwQHNzJXp6")),
            ("http://u:p%40/s@a:1", "a", 1, Some("Basic dTpwQC9z")),
        ] {
            let proxy = Proxy::parse("all_proxy", value).unwrap();
            assert_eq!((proxy.host(), proxy.port(), proxy.authorization()), (host, port, authorization), "{value}");
            let said = format!("{proxy} {proxy:?}");
            assert!(!said.contains("sesame") && !said.contains("Basic") && !said.contains("p@"), "{said}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_only_for_who_would_use_it() {
        for value in ["socks5://u:secret@a:1", "https://u:secret@a:1", "SOCKS5H://a"] {
            let proxies = proxies(&[("ALL_PROXY", value), ("no_proxy", "direct.example")]);
            let error = proxies.of(true, "bucket.example", 443).unwrap_err();
            assert!(matches!(error, ProxyError::Kind { variable: "ALL_PROXY", .. }), "{error:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
            assert_eq!(proxies.of(true, "direct.example", 443), Ok(None));
        }
        for value in
            ["http://", "http://u:secret@", "u:secret://x@a:1", "http://u:secret@a:x", "http://a b:1", "http://::1"]
        {
            let error = proxies(&[("http_proxy", value)]).of(false, "bucket.example", 80).unwrap_err();
            assert_eq!(error, ProxyError::Address { variable: "http_proxy" }, "{value}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn no_proxy_lists_what_is_reached_directly() {
        let direct = |list: &str, host: &str, port: u16| {
            proxies(&[("all_proxy", "http://a:1"), ("NO_PROXY", list)]).of(true, host, port).unwrap().is_none()
        };
        for (list, host, port) in [
            ("*", "bucket.example", 443),
            ("a, *", "[::1]", 1),
            ("example", "bucket.example", 443),
            (".example", "example", 443),
            ("*.example", "bucket.example", 443),
            ("bucket.example.", "Bucket.Example", 443),
            ("bucket.example", "bucket.example.", 443),
            ("x,,bucket.example:443", "bucket.example", 443),
            ("x bucket.example", "bucket.example", 443),
            ("bucket.example:443,bucket.example:444", "a.bucket.example", 444),
            ("127.0.0.1", "127.0.0.1", 9000),
            ("127.0.0.1:9000", "127.0.0.1", 9000),
            ("10.0.0.0/8", "10.1.2.3", 1),
            ("0.0.0.0/0", "10.1.2.3", 1),
            ("10.1.2.3/32", "10.1.2.3", 1),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]", 1),
            ("::1", "[::1]", 1),
            ("[::1]", "[::1]", 1),
            ("[::1]:9000", "[::1]", 9000),
            ("fd00::/8", "[fd12::1]", 1),
            ("::/0", "[fd12::1]", 1),
            ("localhost", "localhost", 1),
        ] {
            assert!(direct(list, host, port), "{list} and {host}:{port}");
        }
        for (list, host, port) in [
            ("", "bucket.example", 443),
            (",", "bucket.example", 443),
            (".", "bucket.example", 443),
            ("ucket.example", "bucket.example", 443),
            ("bucket.example", "example", 443),
            ("bucket.example:80", "bucket.example", 443),
            ("127.0.0.1:80", "127.0.0.1", 443),
            ("127.0.0.1", "127.0.0.2", 443),
            ("1", "127.0.0.1", 443),
            ("10.0.0.0/8", "11.0.0.1", 1),
            ("10.0.0.0/33", "10.0.0.1", 1),
            ("10.0.0.0/8", "[fd12::1]", 1),
            ("fd00::/8", "[fe00::1]", 1),
            ("[::1]:80", "[::1]", 443),
            ("example:port", "bucket.example", 443),
            // Nothing is looked up.
            ("127.0.0.1", "localhost", 443),
        ] {
            assert!(!direct(list, host, port), "{list} and {host}:{port}");
        }
    }

    #[test]
    fn this_machine_is_reached_directly() {
        for variables in [&[("ALL_PROXY", "http://a:1")][..], &[("ALL_PROXY", "http://a:1"), ("NO_PROXY", "b")]] {
            let proxies = proxies(variables).but_not_for_loopback();
            for host in ["localhost", "LocalHost.", "127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"] {
                assert_eq!(proxies.of(false, host, 9000), Ok(None), "{host}");
            }
            for host in ["bucket.example", "localhost.example", "128.0.0.1", "[::2]", "10.0.0.1"] {
                assert!(proxies.of(true, host, 443).unwrap().is_some(), "{host}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value in "\\PC*", list in "[a-z0-9.:/*,\\[\\] -]*") {
            let proxies = proxies(&[("all_proxy", &value), ("no_proxy", &list)]);
            let _ = proxies.of(true, "10.0.0.1", 1);
            let _ = proxies.of(false, "[::1]", 1);
        }
    }
}
