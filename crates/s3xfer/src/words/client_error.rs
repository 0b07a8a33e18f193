//! [`ClientError`]: why a client cannot be made.

/// An invalid setting of [`ClientBuilder`](crate::ClientBuilder). Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The endpoint is no URL.
    #[error("the endpoint URL {url} names no scheme; write it like http://127.0.0.1:9000")]
    NoScheme {
        /// The endpoint as given.
        url: String,
    },
    /// The endpoint's URL has no host.
    #[error("the endpoint URL {url} names no host; write it like http://127.0.0.1:9000")]
    NoHost {
        /// The endpoint as given.
        url: String,
    },
    /// The endpoint's URL holds a password, which would show wherever the URL is shown. It is not repeated here.
    #[error(
        "the endpoint URL must not hold a user name or password; give keys as AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY, or to the builder"
    )]
    KeysInUrl,
    /// Requests cannot be signed and unsigned.
    #[error("keys and unsigned requests exclude each other; leave one of the two out")]
    KeysAndUnsigned,
    /// A setting is empty.
    #[error("the {setting} is empty; leave it out, or name one")]
    Empty {
        /// The setting's name as a noun.
        setting: &'static str,
    },
    /// None of AWS's files has the named profile.
    #[error("AWS's files have no profile {name}; name one of theirs, or leave it out")]
    NoProfile {
        /// The profile as given.
        name: String,
    },
    /// The builder may ask the environment, and this build cannot: s3xfer's feature `config` is off.
    #[error(
        "this build of s3xfer reads neither AWS's variables nor its files; call without_environment(), or switch the \
         feature `config` on"
    )]
    NoEnvironment,
}

/// Checks an endpoint for mistakes that would show only in the first request's error, or in a log.
pub(crate) fn check_endpoint(url: &str) -> Result<(), ClientError> {
    let authority = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if authority(rest.unwrap_or(url)).contains('@') {
        return Err(ClientError::KeysInUrl);
    }
    match rest.map(authority) {
        None => Err(ClientError::NoScheme { url: url.to_owned() }),
        Some(host) if host.is_empty() => Err(ClientError::NoHost { url: url.to_owned() }),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_without_a_password() {
        for right in ["http://127.0.0.1:9000", "https://s3.example", "https://h/a@b"] {
            assert_eq!(check_endpoint(right), Ok(()), "{right}");
        }
        assert!(matches!(check_endpoint("s3.example"), Err(ClientError::NoScheme { .. })));
        assert!(matches!(check_endpoint("http:///x"), Err(ClientError::NoHost { .. })));
        for secret in ["http://me:word@h", "me:word@h", "https://me@h/x"] {
            let error = check_endpoint(secret).unwrap_err();
            assert_eq!(error, ClientError::KeysInUrl, "{secret}");
            assert!(!error.to_string().contains("word@"), "{error}");
        }
    }
}
