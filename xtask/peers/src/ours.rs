//! s3xfer with its defaults: over its own HTTP client, and over the SDK's.

use anyhow::Result;
use aws_smithy_http_client::tls;
use s3xfer::{Client, TransferConfig};

use crate::sdk;
use crate::task::{Task, Unsupported, What, fetch_many, is_null};

/// What carries the requests.
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
    let mut client = Client::new(aws_sdk_s3::Client::from_conf(config.build()));
    if let Some(concurrency) = task.concurrency {
        client = client.with_config(TransferConfig::builder().max_concurrency(concurrency).build()?);
    }
    match &task.what {
        What::Get { key, out } if is_null(out) => null(&client, &task.bucket, key).await,
        What::Get { key, out } => Ok(client.download(&task.bucket, key).to_file(out).await?.bytes),
        What::GetMany { prefix, folder, count } => {
            fetch_many(prefix, folder, *count, |key, out| {
                let download = client.download(&task.bucket, key).to_file(out);
                async move { Ok(download.await?.bytes) }
            })
            .await
        }
    }
}

/// Never `to_file("/dev/null")`: a download is renamed onto its target.
async fn null(_client: &Client, _bucket: &str, _key: &str) -> Result<u64> {
    Err(Unsupported("s3xfer has no target that forgets").into())
}
