//! Two storage layers over many services: object_store and opendal, each with 8 ranges of 8 MiB at once.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use futures::{StreamExt, TryStreamExt, stream};

use crate::task::{MIB, Target, Task, What, fetch_many, ranges};

const PART: u64 = 8 * MIB;
const CONCURRENCY: usize = 8;

pub async fn object_store(task: &Task) -> Result<u64> {
    use object_store::aws::AmazonS3Builder;
    use object_store::path::Path;
    use object_store::{ObjectStore, ObjectStoreExt};

    let store = AmazonS3Builder::from_env()
        .with_endpoint(&task.endpoint)
        .with_bucket_name(&task.bucket)
        .with_virtual_hosted_style_request(false)
        .with_allow_http(true)
        .build()?;
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    match &task.what {
        What::Get { key, out } => {
            let key = Path::from(key.as_str());
            let len = store.head(&key).await?.size;
            let target = Target::open(out, Some(len))?;
            stream::iter(ranges(len, PART))
                .map(|(start, end)| {
                    let (store, key, target) = (store.clone(), key.clone(), target.clone());
                    tokio::spawn(async move {
                        let data = store.get_range(&key, start..end).await?;
                        target.write_at(&data, start)?;
                        anyhow::Ok(data.len() as u64)
                    })
                })
                .buffer_unordered(CONCURRENCY)
                .map(|joined| joined?)
                .try_fold(0, |sum, bytes| async move { Ok(sum + bytes) })
                .await
        }
        What::GetMany { prefix, folder, count } => {
            fetch_many(prefix, folder, *count, |key, out| {
                let store = store.clone();
                async move {
                    let body = store.get(&Path::from(key)).await?.into_stream();
                    Target::open(&out, None)?.append(body).await
                }
            })
            .await
        }
    }
}

pub async fn opendal(task: &Task) -> Result<u64> {
    let variable = |name| std::env::var(name).map_err(|_| anyhow!("{name} is not set"));
    let service = opendal::services::S3::default()
        .endpoint(&task.endpoint)
        .bucket(&task.bucket)
        .region(&variable("AWS_REGION")?)
        .access_key_id(&variable("AWS_ACCESS_KEY_ID")?)
        .secret_access_key(&variable("AWS_SECRET_ACCESS_KEY")?);
    let store = opendal::Operator::new(service)?;
    match &task.what {
        What::Get { key, out } => {
            let reader = store.reader_with(key).chunk(PART as usize).concurrent(CONCURRENCY).await?;
            Target::open(out, None)?.append(reader.into_bytes_stream(..).await?).await
        }
        What::GetMany { prefix, folder, count } => {
            fetch_many(prefix, folder, *count, |key, out| {
                let store = store.clone();
                async move {
                    let body = store.reader(&key).await?.into_bytes_stream(..).await?;
                    Target::open(&out, None)?.append(body).await
                }
            })
            .await
        }
    }
}
