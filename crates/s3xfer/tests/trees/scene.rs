//! A lab, a client of it, and a place for a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aws_sdk_s3::config::HttpClient;
use s3lab::{Lab, LabBuilder};
use s3xfer::{Client, TransferConfig};
use tempfile::TempDir;

pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) client: Client,
    pub(crate) place: TempDir,
}

/// Files and their bytes; an empty folder ends with `/`.
pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

impl Scene {
    pub(crate) async fn of(lab: LabBuilder) -> Self {
        let lab = lab.keep_requests(10_000).build().unwrap();
        let client = Self::client(&lab, lab.http_client()).await;
        Self { lab, client, place: tempfile::tempdir().unwrap() }
    }

    /// A client of the lab that reaches it through `http_client`.
    pub(crate) async fn client(lab: &Lab, http_client: impl HttpClient + 'static) -> Client {
        let client = Client::builder().endpoint_url(Lab::ENDPOINT).keys(lab.access_key(), lab.secret_key());
        let config = TransferConfig::builder().num_download_attempts(2).patience_seconds(1).build().unwrap();
        client.http_client(http_client).without_environment().config(config).build().await.unwrap()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.place.path().join("folder")
    }
}

/// The names below a folder. What is neither a file nor a folder ends with `@`.
pub(crate) fn on_disk(folder: &Path) -> Tree {
    fn walk(root: &Path, folder: &Path, tree: &mut Tree) {
        let mut empty = true;
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            empty = false;
            let found = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            match found.is_dir() {
                true => walk(root, &path, tree),
                false if found.is_file() => drop(tree.insert(name, fs::read(&path).unwrap())),
                false => drop(tree.insert(format!("{name}@"), Vec::new())),
            }
        }
        if empty && folder != root {
            tree.insert(format!("{}/", folder.strip_prefix(root).unwrap().to_str().unwrap()), Vec::new());
        }
    }

    let mut found = Tree::new();
    walk(folder, folder, &mut found);
    found
}
