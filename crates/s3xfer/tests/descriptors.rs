//! More downloads at once than the process may have files open: those that do not fit wait for those that do. Alone in
//! its binary, for the limit is the process's.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod lab;

use std::future::IntoFuture;

use futures::future::join_all;
use lab::{Bench, KIB, small};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use s3lab::NetworkProfile;

const FILES: u64 = 96;
const DOWNLOADS: usize = 200;

#[tokio::test(start_paused = true)]
async fn downloads_that_have_no_room_for_their_files_wait_for_it() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum }).unwrap();
    // All wait for their bytes at once if they may.
    let network = NetworkProfile::unlimited().with_first_byte(50.0, 0.0).unwrap();
    let bench = Bench::behind(20 * KIB, network);
    let client = bench.client.clone().with_config(small().max_concurrency(1000).build().unwrap());
    for resume in [false, true] {
        let target = |number| bench.folder.path().join(format!("{resume}-{number}"));
        let download = |number| client.download("lab", "key").to_file(target(number)).resume(resume).into_future();
        for ended in join_all((0..DOWNLOADS).map(download)).await {
            ended.unwrap();
        }
        for number in 0..DOWNLOADS {
            bench.object.verify(0, &std::fs::read(target(number)).unwrap()).unwrap();
        }
    }
    // Those of other clients, and of configurations of their own, count as well.
    let download = |number: usize| {
        let client = bench.client.clone().with_config(small().build().unwrap());
        client.download("lab", "key").to_file(bench.folder.path().join(format!("own-{number}"))).into_future()
    };
    for ended in join_all((0..DOWNLOADS).map(download)).await {
        assert_eq!(ended.unwrap().bytes, 20 * KIB);
    }
}
