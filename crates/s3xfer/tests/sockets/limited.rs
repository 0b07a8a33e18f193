//! Servers, proxies and translators of addresses that serve so many connections and no more: those that are served
//! carry the whole transfer.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::wire::{Http, Served, sdk};
use s3lab::{NetworkProfile, SyntheticObject};
use s3xfer::{Client, TransferConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The address that passes at most so many connections at a time on to `server`. It takes the others, and leaves them
/// unanswered for ever.
async fn limited(server: SocketAddr, most: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let free = Arc::new(Semaphore::new(most));
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        loop {
            let (mut here, _) = listener.accept().await.unwrap();
            match free.clone().try_acquire_owned() {
                Ok(place) => drop(tokio::spawn(async move {
                    let _place = place;
                    let mut there = TcpStream::connect(server).await.unwrap();
                    // Its end is the client's or the server's to see.
                    let _ = copy_bidirectional(&mut here, &mut there).await;
                })),
                Err(_) => unanswered.push(here),
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_served_carry_all_requests() {
    const SIZE: u64 = 64 << 20;
    // So slow that more than 16 of them are worth while.
    let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(5.0)).unwrap();
    let served = Served::new(SIZE, network, None).await;
    let address = limited(served.server.addr(), 16).await;
    let keys = (served.lab.access_key(), served.lab.secret_key());
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("object");
    let fixed = TransferConfig::builder().adaptive_concurrency(false).max_concurrency(48).multipart_chunksize(1 << 20);
    for config in [fixed.build().unwrap(), TransferConfig::default()] {
        let client = Client::new(sdk(&format!("http://{address}"), Some(keys), Http::Ours)).with_config(config);
        let report = client.download("lab", "key").to_file(&target).await.unwrap();
        let bytes = std::fs::read(&target).unwrap();
        assert_eq!(bytes.len() as u64, SIZE);
        SyntheticObject::named("lab", "key", SIZE).verify(0, &bytes).unwrap();
        assert!(report.config.adaptive_concurrency() || report.peak_requests == 48, "{report:?}");
    }
}
