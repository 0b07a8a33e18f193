//! A folder that outlives no benchmark: it goes when the process that asked for it is gone, however that ended.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sys::statvfs::statvfs;

/// Makes a folder in the first of `places` that has room for `bytes`.
pub fn run(bytes: &str, places: &[&str]) -> Result<()> {
    let bytes: u64 = bytes.parse().context("BYTES is not a number")?;
    let Some(place) = places.iter().find(|place| room(place).is_some_and(|room| room >= bytes)) else {
        bail!("no room for {bytes} bytes in {}", places.join(", "));
    };
    let folder = Path::new(place).join(format!("s3xfer-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    println!("{}", folder.display());
    until_stdin_ends()?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {}", folder.display()))
}

fn room(place: &str) -> Option<u64> {
    let stat = statvfs(place).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

/// The other end is held by the benchmark, and closed by the system when it ends, even by a signal nobody can catch.
pub fn until_stdin_ends() -> std::io::Result<()> {
    let mut ignored = [0; 64];
    let mut stdin = std::io::stdin().lock();
    while stdin.read(&mut ignored)? > 0 {}
    Ok(())
}
