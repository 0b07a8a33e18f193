//! The server: s3lab with the benchmark's objects, all synthetic, so that serving costs as little as it can.

use anyhow::{Context, Result, bail};
use s3lab::{Lab, NetworkProfile, Server};
use serde_json::json;

use crate::keep;

pub fn run(bucket: &str, rest: &[&str]) -> Result<()> {
    let mut lab = Lab::builder().bucket(bucket).allow_anonymous(true);
    let mut pem = None;
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--tls" => pem = Some(*rest.next().context("--tls takes a file")?),
            "--profile" => {
                let file = rest.next().context("--profile takes a file")?;
                let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {file}"))?;
                lab = lab.network(NetworkProfile::from_toml(&text)?);
            }
            object => {
                let (name, bytes) = object.split_once('=').with_context(|| format!("{object} has no size"))?;
                let bytes: u64 = bytes.parse().with_context(|| format!("{object} has no size"))?;
                match name.split_once('*') {
                    None => lab = lab.synthetic(bucket, name, bytes),
                    Some((prefix, count)) => {
                        for i in 0..count.parse::<u32>().with_context(|| format!("{object} has no count"))? {
                            lab = lab.synthetic(bucket, format!("{prefix}{i:05}"), bytes);
                        }
                    }
                }
            }
        }
    }
    let lab = lab.build()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let addr = ([127, 0, 0, 1], 0).into();
    let server = runtime.block_on(async {
        anyhow::Ok(match pem {
            None => Server::start(&lab, addr).await?,
            Some(_) => Server::start_tls(&lab, addr).await?,
        })
    })?;
    if let (Some(file), Some(text)) = (pem, server.certificate_pem()) {
        std::fs::write(file, text).with_context(|| format!("failed to write {file}"))?;
    } else if pem.is_some() {
        bail!("the server has no certificate");
    }
    let line = json!({
        "endpoint": server.endpoint(),
        "access_key": lab.access_key(),
        "secret_key": lab.secret_key(),
        "region": lab.region(),
    });
    println!("{line}");
    keep::until_stdin_ends()?;
    runtime.block_on(server.shutdown());
    Ok(())
}
