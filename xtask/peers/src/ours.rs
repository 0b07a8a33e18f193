//! s3xfer with its defaults: over its own HTTP client, and over the SDK's.

use std::collections::HashMap;

use anyhow::Result;
use aws_smithy_http_client::tls;
use s3xfer::{Client, TransferConfig};

use crate::sdk;
use crate::task::{Task, What, fetch_many, is_null};

/// The HTTP client that carries the requests.
pub enum Http {
    /// Whatever s3xfer uses by itself.
    Own,
    /// The SDK's default client, set on the SDK's configuration as a user would.
    Sdk,
}

pub async fn run(task: &Task, http: Http) -> Result<u64> {
    let mut config = sdk::config(task).await;
    if let Http::Sdk = http {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
        config = config.http_client(aws_smithy_http_client::Builder::new().tls_provider(provider).build_https());
    }
    let sdk = aws_sdk_s3::Client::from_conf(config.build());
    let mut client = Client::new(sdk.clone());
    if let Some(concurrency) = task.concurrency {
        client = client.with_config(TransferConfig::builder().max_concurrency(concurrency).build()?);
    }
    match &task.what {
        What::Get { key, out } if is_null(out) => Ok(client.download(&task.bucket, key).discard().await?.bytes),
        What::Get { key, out } => Ok(client.download(&task.bucket, key).to_file(out).await?.bytes),
        What::GetMany { prefix, folder, count } => {
            // As whoever fetches a folder does, and s5cmd and rclone do: the listing tells the sizes.
            let sizes = list(&sdk, &task.bucket, prefix).await?;
            fetch_many(prefix, folder, *count, |key, out| {
                let mut download = client.download(&task.bucket, &key);
                if let Some(&bytes) = sizes.get(&key) {
                    download = download.object_bytes(bytes);
                }
                let download = download.to_file(out);
                async move { Ok(download.await?.bytes) }
            })
            .await
        }
    }
}

async fn list(sdk: &aws_sdk_s3::Client, bucket: &str, prefix: &str) -> Result<HashMap<String, u64>> {
    let mut pages = sdk.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
    let mut sizes = HashMap::new();
    while let Some(page) = pages.next().await {
        for object in page?.contents() {
            if let (Some(key), Some(Ok(bytes))) = (object.key(), object.size().map(u64::try_from)) {
                sizes.insert(key.to_owned(), bytes);
            }
        }
    }
    Ok(sizes)
}
