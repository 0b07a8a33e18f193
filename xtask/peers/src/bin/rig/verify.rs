//! Byte by byte: files against the objects they were to become.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result, bail};
use s3lab::SyntheticObject;

pub fn one(file: &str, bucket: &str, key: &str, bytes: &str) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    compare(file, &SyntheticObject::named(bucket, key, bytes.parse()?), &mut buffer)
}

pub fn many(folder: &str, bucket: &str, prefix: &str, count: &str, bytes: &str) -> Result<()> {
    let (count, bytes): (usize, u64) = (count.parse()?, bytes.parse()?);
    let found = std::fs::read_dir(folder)?.count();
    if found != count {
        bail!("{found} files instead of {count}");
    }
    let mut buffer = vec![0; 1 << 20];
    for i in 0..count {
        let object = SyntheticObject::named(bucket, &format!("{prefix}{i:05}"), bytes);
        compare(&format!("{folder}/{i:05}"), &object, &mut buffer)?;
    }
    Ok(())
}

fn compare(file: &str, object: &SyntheticObject, buffer: &mut [u8]) -> Result<()> {
    let failed = || format!("failed to read {file}");
    let mut input = File::open(file).with_context(failed)?;
    let len = input.metadata().with_context(failed)?.len();
    if len != object.size() {
        bail!("{file} has {len} bytes instead of {}", object.size());
    }
    let mut at = 0;
    loop {
        let n = input.read(buffer).with_context(failed)?;
        if n == 0 {
            return if at == len { Ok(()) } else { bail!("{file} ended at {at}") };
        }
        object.verify(at, &buffer[..n]).with_context(|| file.to_owned())?;
        at += n as u64;
    }
}
