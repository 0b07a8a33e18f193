//! Clients over real sockets, with either HTTP client: what tests against a server need. Where a lab in the same process
//! will do, `lab` is quicker.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation};

/// Which HTTP client is below the SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    /// The engine's own.
    Ours,
    /// The one that comes with the SDK, set on its configuration.
    Sdks,
}

impl Http {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Sdks];
}

/// The SDK's client of a server, signing with `keys`, or with nothing.
pub(crate) fn sdk(endpoint: &str, keys: Option<(&str, &str)>, http: Http) -> aws_sdk_s3::Client {
    let mut config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        // Older servers do not know the trailing checksums that newer SDKs send with what they put.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    config = match keys {
        Some((access, secret)) => config.credentials_provider(Credentials::new(access, secret, None, None, "test")),
        None => config.allow_no_auth(),
    };
    if http == Http::Sdks {
        config = config.http_client(aws_smithy_http_client::Builder::new().build_http());
    }
    aws_sdk_s3::Client::from_conf(config.build())
}
