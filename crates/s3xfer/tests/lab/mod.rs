//! A lab, a client of it in the same process, and a folder, for every test of the engine. Time is tokio's, so a test
//! that runs with its clock paused waits for nothing.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::PathBuf;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use s3lab::{Fault, FaultKind, FaultPlan, Lab, LabBuilder, NetworkProfile, RequestRecord, Requests, SyntheticObject};
use s3xfer::{Client, TransferConfig, TransferError, TransferReport};
use tempfile::TempDir;

pub(crate) const KIB: u64 = 1 << 10;

/// One bucket, `lab`, with one object, `key`.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) client: Client,
    pub(crate) folder: TempDir,
    pub(crate) object: SyntheticObject,
}

impl Bench {
    pub(crate) fn new(size: u64) -> Self {
        Self::with(size, |lab| lab)
    }

    pub(crate) fn with_faults(size: u64, faults: impl IntoIterator<Item = (Requests, FaultKind)>) -> Self {
        Self::with(size, |lab| lab.faults(plan(faults)))
    }

    pub(crate) fn behind(size: u64, network: NetworkProfile) -> Self {
        Self::with(size, |lab| lab.network(network))
    }

    pub(crate) fn with(size: u64, change: impl FnOnce(LabBuilder) -> LabBuilder) -> Self {
        let lab = change(Lab::builder().bucket("lab").synthetic("lab", "key", size)).build().unwrap();
        let object = SyntheticObject::named("lab", "key", size);
        let client = Client::new(sdk(&lab, lab.access_key(), lab.secret_key()));
        Self { lab, client, folder: tempfile::tempdir().unwrap(), object }
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("object.bin")
    }

    pub(crate) async fn download(&self, config: &TransferConfig) -> Result<TransferReport, TransferError> {
        let client = self.client.clone().with_config(config.clone());
        client.download("lab", "key").to_file(self.target()).await
    }

    /// The target holds the object's bytes, all and only them, and nothing lies beside it.
    pub(crate) fn assert_whole(&self) {
        let bytes = fs::read(self.target()).unwrap();
        assert_eq!(bytes.len() as u64, self.object.size());
        self.object.verify(0, &bytes).unwrap();
        assert_eq!(self.files(), ["object.bin"]);
    }

    pub(crate) fn assert_nothing(&self) {
        assert_eq!(self.files(), Vec::<String>::new());
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = fs::read_dir(self.folder.path()).unwrap().map(name).collect();
        names.sort();
        names
    }

    /// The ranges asked for, in order.
    pub(crate) fn ranges(&self) -> Vec<String> {
        let gets = self.lab.requests().into_iter().filter(|request| request.method == "GET");
        gets.map(|request: RequestRecord| request.range.unwrap_or_else(|| "whole".to_owned())).collect()
    }
}

/// Faults of GETs of the object.
pub(crate) fn plan(faults: impl IntoIterator<Item = (Requests, FaultKind)>) -> FaultPlan {
    let fault = |(requests, kind)| Fault { key: "key".to_owned(), on: s3lab::RequestKind::GetObject, requests, kind };
    FaultPlan::new(faults.into_iter().map(fault)).unwrap()
}

pub(crate) fn sdk(lab: &Lab, access: &str, secret: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(Lab::ENDPOINT)
        .force_path_style(true)
        .region(Region::new(lab.region().to_owned()))
        .credentials_provider(Credentials::new(access, secret, None, None, "test"))
        .http_client(lab.http_client())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// boto3's configuration, scaled down a thousandfold so that small objects have many parts.
pub(crate) fn small() -> s3xfer::TransferConfigBuilder {
    TransferConfig::boto3().to_builder().multipart_threshold(8 * KIB).multipart_chunksize(8 * KIB).io_chunksize(256)
}
