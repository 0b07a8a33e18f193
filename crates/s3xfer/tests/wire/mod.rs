//! Clients over real sockets, with either HTTP client, for tests against a server. Where a lab in the same process will
//! do, `lab` is quicker.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation};
use s3lab::{Fault, FaultKind, FaultPlan, Lab, NetworkProfile, Requests, Server};
use s3xfer::{Client, TransferConfig};

/// The HTTP client below the SDK.
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
        // Older servers do not know the trailing checksums that newer SDKs send with their uploads.
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

/// A lab behind a socket, with one object of so many bytes, and the faults of its GETs.
pub(crate) struct Served {
    pub(crate) lab: Lab,
    pub(crate) server: Server,
}

impl Served {
    pub(crate) async fn new(size: u64, network: NetworkProfile, faults: Option<(Requests, FaultKind)>) -> Self {
        let faults = faults.map(|(requests, kind)| Fault {
            key: "key".to_owned(),
            on: s3lab::RequestKind::GetObject,
            requests,
            kind,
        });
        let lab = Lab::builder().bucket("lab").synthetic("lab", "key", size).network(network);
        let lab = lab.faults(FaultPlan::new(faults).unwrap()).build().unwrap();
        let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { lab, server }
    }

    pub(crate) fn client(&self, http: Http, config: TransferConfig) -> Client {
        let keys = (self.lab.access_key(), self.lab.secret_key());
        Client::new(sdk(&self.server.endpoint(), Some(keys), http)).with_config(config)
    }

    /// Nothing is requested or read any more, once the bytes on their way have arrived.
    pub(crate) async fn assert_quiet(&self) {
        // On the busiest machine that takes a while.
        for _ in 0..100 {
            let before = self.lab.stats();
            tokio::time::sleep(Duration::from_millis(400)).await;
            let now = self.lab.stats();
            if (now.total(), now.bytes_out, now.in_flight) == (before.total(), before.bytes_out, 0) {
                return;
            }
        }
        panic!("something is still asked for, or sent: {:?}", self.lab.stats());
    }
}
