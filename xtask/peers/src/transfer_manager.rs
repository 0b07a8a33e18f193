//! aws-sdk-s3-transfer-manager with its defaults: concurrency `Auto`, its own runtime and HTTP clients.

use anyhow::Result;
use aws_sdk_s3_transfer_manager::types::ConcurrencyMode;
use aws_sdk_s3_transfer_manager::{Client, Config};

use crate::sdk;
use crate::task::{Task, What, fetch_many, is_null};

pub async fn run(task: &Task) -> Result<u64> {
    let mut config = Config::builder().s3_config(sdk::config(task).await);
    if let Some(concurrency) = task.concurrency {
        config = config.concurrency(ConcurrencyMode::Explicit(concurrency as usize));
    }
    let client = Client::new(config.build());
    match &task.what {
        What::Get { key, out } if is_null(out) => {
            let mut handle = client.download().bucket(&task.bucket).key(key).initiate()?;
            let mut bytes = 0;
            while let Some(chunk) = handle.body_mut().next().await {
                bytes += chunk?.data.len() as u64;
            }
            handle.join().await?;
            Ok(bytes)
        }
        What::Get { key, out } => fetch(client, task.bucket.clone(), key.clone(), out.clone()).await,
        What::GetMany { prefix, folder, count } => {
            fetch_many(prefix, folder, *count, |key, out| fetch(client.clone(), task.bucket.clone(), key, out)).await
        }
    }
}

async fn fetch(client: Client, bucket: String, key: String, out: String) -> Result<u64> {
    client.download().bucket(bucket).key(key).write_to_path(&out).await?.join().await?;
    Ok(std::fs::metadata(out)?.len())
}
