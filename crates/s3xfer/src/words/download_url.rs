//! [`DownloadUrl`]: a plain or presigned URL with a secret query.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// A URL to download from: presigned by S3 or another tool, or of any HTTP server.
///
/// It displays without its query, which may be as sensitive as a password. Redirects are not followed: an answer that
/// leads to another URL is an error that names that URL, without its query.
///
/// ```
/// use s3xfer::DownloadUrl;
///
/// let url: DownloadUrl = "https://example.com/data/a.bin?X-Amz-Signature=secret".parse()?;
/// assert_eq!(url.to_string(), "https://example.com/data/a.bin");
/// assert!(!format!("{url:?}").contains("secret"));
/// # Ok::<(), s3xfer::DownloadUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DownloadUrl {
    /// Without a fragment.
    whole: String,
    /// `https://host:port`.
    origin: String,
    /// Behind the origin's slash, without the query; not empty.
    path: String,
}

/// Why a text is not a [`DownloadUrl`]. The error does not repeat the text, because it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadUrlError {
    /// It begins with something else.
    #[error("the URL does not begin with http:// or https://")]
    Scheme,
    /// It has a user's name, which cannot be sent.
    #[error("the URL has a user's name or password before its host; only its path and query can be sent")]
    User,
    /// There is no object's path.
    #[error("the URL has no path behind its host")]
    NoPath,
    /// It is not a URL by RFC 3986, for instance because a letter must be percent-encoded.
    #[error("the URL cannot be read; letters other than RFC 3986's must be percent-encoded")]
    Odd,
}

impl DownloadUrl {
    /// All of it, for the request alone.
    pub(crate) fn whole(&self) -> &str {
        &self.whole
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Without its first slash, and without the query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for DownloadUrl {
    type Err = DownloadUrlError;

    fn from_str(text: &str) -> Result<Self, DownloadUrlError> {
        let whole = text.split('#').next().unwrap_or(text);
        let scheme = whole.split("://").next().unwrap_or("").to_ascii_lowercase();
        if !["http", "https"].contains(&scheme.as_str()) || !whole.contains("://") {
            return Err(DownloadUrlError::Scheme);
        }
        let uri: Uri = whole.parse().map_err(|_| DownloadUrlError::Odd)?;
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or(DownloadUrlError::Odd)?;
        if authority.as_str().contains('@') {
            return Err(DownloadUrlError::User);
        }
        let path = uri.path().trim_start_matches('/');
        if path.is_empty() {
            return Err(DownloadUrlError::NoPath);
        }
        let origin = format!("{scheme}://{authority}");
        Ok(Self { whole: whole.to_owned(), origin, path: path.to_owned() })
    }
}

impl fmt::Display for DownloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.path)
    }
}

impl fmt::Debug for DownloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DownloadUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_query() {
        for (text, shown) in [
            ("https://h/a/b?s=1", "https://h/a/b"),
            ("http://127.0.0.1:80/a%20b?s=1#f", "http://127.0.0.1:80/a%20b"),
            ("HTTPS://h/a?s", "https://h/a"),
            ("https://[::1]:9/a", "https://[::1]:9/a"),
        ] {
            let url: DownloadUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}")), (shown, format!("DownloadUrl({shown})")));
            assert_eq!(url.whole(), text.split('#').next().unwrap());
        }
    }

    #[test]
    fn what_is_no_url_is_refused_and_not_repeated() {
        for (text, error) in [
            ("", DownloadUrlError::Scheme),
            ("s3://b/k", DownloadUrlError::Scheme),
            ("h/secret", DownloadUrlError::Scheme),
            ("https://u:secret@h/a", DownloadUrlError::User),
            ("https://h", DownloadUrlError::NoPath),
            ("https://h/?secret", DownloadUrlError::NoPath),
            ("https://h/a b", DownloadUrlError::Odd),
            ("https:///secret", DownloadUrlError::Odd),
        ] {
            let told = text.parse::<DownloadUrl>().unwrap_err();
            assert_eq!(told, error, "{text}");
            assert!(!told.to_string().contains("secret"), "{told}");
        }
    }
}
