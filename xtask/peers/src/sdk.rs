//! aws-sdk-s3, used directly: 8 ranges of 16 MiB at once with positional writes, and one plain GET.

use anyhow::{Context, Result};
use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use futures::{StreamExt, TryStreamExt, stream};

use crate::task::{MIB, Target, Task, What, fetch_many, is_null, ranges};

const PART: u64 = 16 * MIB;
const CONCURRENCY: usize = 8;

/// Region and credentials from the environment; the task's endpoint.
pub async fn config(task: &Task) -> aws_sdk_s3::config::Builder {
    let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
    aws_sdk_s3::config::Builder::from(&shared).endpoint_url(&task.endpoint).force_path_style(true)
}

async fn client(task: &Task) -> Client {
    Client::from_conf(config(task).await.build())
}

/// Eight ranges at once.
pub async fn ranged(task: &Task) -> Result<u64> {
    let client = client(task).await;
    let What::Get { key, out } = &task.what else { return fetch_whole_objects(&client, task).await };
    let head = client.head_object().bucket(&task.bucket).key(key).send().await?;
    let len = u64::try_from(head.content_length().context("no length")?)?;
    let target = Target::open(out, Some(len))?;
    stream::iter(ranges(len, PART))
        .map(|(start, end)| {
            let range = format!("bytes={start}-{}", end - 1);
            let request = client.get_object().bucket(&task.bucket).key(key).range(range);
            let target = target.clone();
            tokio::spawn(async move {
                let mut body = request.send().await?.body;
                let mut at = start;
                while let Some(frame) = body.try_next().await? {
                    target.write_at(&frame, at)?;
                    at += frame.len() as u64;
                }
                anyhow::Ok(at - start)
            })
        })
        .buffer_unordered(CONCURRENCY)
        .map(|joined| joined?)
        .try_fold(0, |sum, bytes| async move { Ok(sum + bytes) })
        .await
}

/// One request for everything.
pub async fn stream(task: &Task) -> Result<u64> {
    let client = client(task).await;
    match &task.what {
        What::Get { key, out } => fetch(client, task.bucket.clone(), key.clone(), out.clone()).await,
        What::GetMany { .. } => fetch_whole_objects(&client, task).await,
    }
}

async fn fetch_whole_objects(client: &Client, task: &Task) -> Result<u64> {
    let What::GetMany { prefix, folder, count } = &task.what else { unreachable!("asked for a folder") };
    fetch_many(prefix, folder, *count, |key, out| fetch(client.clone(), task.bucket.clone(), key, out)).await
}

async fn fetch(client: Client, bucket: String, key: String, out: String) -> Result<u64> {
    let mut body = client.get_object().bucket(bucket).key(key).send().await?.body;
    let mut bytes = 0;
    if is_null(&out) {
        while let Some(frame) = body.try_next().await? {
            bytes += frame.len() as u64;
        }
        return Ok(bytes);
    }
    let mut file = tokio::fs::File::create(out).await?;
    while let Some(frame) = body.try_next().await? {
        tokio::io::AsyncWriteExt::write_all(&mut file, &frame).await?;
        bytes += frame.len() as u64;
    }
    tokio::io::AsyncWriteExt::flush(&mut file).await?;
    Ok(bytes)
}
