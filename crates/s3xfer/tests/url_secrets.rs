//! The query of a URL is a secret: it is in no log and no error. Alone in its process, because other tests' threads
//! decide which events of the SDK are logged.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod lab;
mod wire;

use std::io::Write;
use std::sync::{Arc, Mutex};

use lab::{Bench, KIB, sdk, small};
use s3lab::{FaultKind, Lab, NetworkProfile, Requests};
use s3xfer::{Client, DownloadUrl, TransferErrorKind};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use wire::{Http, Served};

const SIZE: u64 = 80 * KIB;

/// A writer that keeps all that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_query_is_in_no_log_and_no_error() {
    let log = Log::default();
    let kept = log.clone();
    // The server in this process logs its requests.
    let clients = Targets::new().with_default(Level::TRACE).with_target("s3s", LevelFilter::OFF);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || kept.clone());
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer.with_filter(clients)));
    let bench = Bench::with_faults(SIZE, [(Requests::At(2), FaultKind::InternalError)]);
    let nobody = sdk(&bench.lab, "nobody", "nothing");
    let client = Client::new(nobody).with_config(small().build().unwrap());
    let mut errors = Vec::new();
    for text in [
        format!("{}/lab/key?X-Amz-Signature=hunter2", Lab::ENDPOINT),
        format!("{}/lab/gone?X-Amz-Signature=hunter2", Lab::ENDPOINT),
        format!("{}/lab/key?versionId=hunter2", Lab::ENDPOINT),
    ] {
        let url: DownloadUrl = text.parse().unwrap();
        let error = client.download_url(&url).to_file(bench.target()).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("{url}: ")), "{error}");
        errors.push(format!(
            "{error} {error:?} {:?} {:?}",
            client.download_url(&url),
            std::error::Error::source(&error)
        ));
    }
    // Over sockets, where nobody listens and where the answer is a refusal.
    tokio::time::resume();
    let served = Served::new(SIZE, NetworkProfile::unlimited(), None).await;
    for http in Http::BOTH {
        for endpoint in ["http://127.0.0.1:1".to_owned(), served.server.endpoint()] {
            let url: DownloadUrl = format!("{endpoint}/lab/key?hunter2").parse().unwrap();
            let nobody = Client::new(wire::sdk(&endpoint, None, http));
            let quick = nobody.with_config(small().num_download_attempts(1).build().unwrap());
            let error = quick.download_url(&url).discard().await.unwrap_err();
            errors.push(format!("{error} {error:?}"));
            let error = quick.download_url(&url).version_id("1").discard().await.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::NotSent);
            errors.push(format!("{error} {error:?}"));
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("transmitting request"), "the SDK logs its requests: {log}");
    for text in errors.iter().map(String::as_str).chain(log.lines()) {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
