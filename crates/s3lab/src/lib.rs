//! An S3 server inside your program, with the real protocol, an emulated network and planned faults.
//!
//! A [`Lab`] holds buckets and objects in memory. It answers S3's protocol with signatures, conditions, ranges,
//! multipart uploads and checksums. It delays and paces every byte as its [`NetworkProfile`] says, and breaks exactly
//! the requests that its [`FaultPlan`] names. So programs that transfer objects can be tested without an account or a
//! network: over TCP by any client ([`Server`]), or inside the process by aws-sdk-s3 in tokio's paused time (feature
//! `sdk`).
//!
//! ```
//! use s3lab::{Lab, NetworkProfile, Server};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let lab = Lab::builder()
//!     .credentials("access", "secret")
//!     .bucket("lab")
//!     .synthetic("lab", "big", 256 << 20)
//!     .network(NetworkProfile::named("same-region")?)
//!     .build()?;
//! let server = Server::start(&lab, "127.0.0.1:0".parse()?).await?;
//! // Any S3 client can now use server.endpoint(); here is none, so nothing was asked:
//! assert_eq!(lab.stats().total(), 0);
//! # server.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `sdk` | no | `Lab::http_client`: the in-process face for aws-sdk-s3 |

#![cfg_attr(docsrs, feature(doc_cfg))]
// A library's words are for its callers; the programs print.
#![warn(clippy::print_stdout)]

mod doors;
mod engine;
mod rules;
mod words;

#[cfg(feature = "sdk")]
pub use doors::sdk::SharedHttpClient;
pub use engine::{BuildError, Lab, LabBuilder, Server, StartError};
pub use words::{
    Fault, FaultKind, FaultPlan, FaultPlanError, NetworkProfile, ProfileError, RequestKind, RequestRecord, Requests,
    Stats, SyntheticObject, WrongByte,
};

/// The README's example is compiled, and run where it can be.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
