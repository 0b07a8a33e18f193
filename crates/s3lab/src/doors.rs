//! The outside: one file for each foreign crate that touches it.
//!
//! - [`patience`]: the limits of waits for a client.
//! - [`s3`]: `s3s`, the protocol - signatures, XML, headers.
//! - [`tcp`]: `hyper` and sockets.
//! - [`tls`]: `rustls`, `tokio-rustls` and `rcgen`, transport security.
//! - [`sdk`]: the SDK's HTTP client interface (feature `sdk`).

pub(crate) mod patience;
pub(crate) mod s3;
#[cfg(feature = "sdk")]
pub(crate) mod sdk;
pub(crate) mod tcp;
pub(crate) mod tls;
