//! The bytes are the object's, or nobody gets them under its name.

use crate::lab::{Bench, KIB, small};
use futures::StreamExt;
use s3lab::{FaultKind, Requests};
use s3xfer::{ChecksumAlgorithm, Integrity, NotValidated, TransferErrorKind};

fn corrupt(at: u64) -> FaultKind {
    FaultKind::Corrupt { at }
}

#[tokio::test(start_paused = true)]
async fn one_wrong_bit_anywhere_is_found_and_no_file_appears() {
    for (request, at) in [(0, 0), (0, 8 * KIB - 1), (3, 24 * KIB + 4000), (9, 80 * KIB - 1)] {
        for threads in [true, false] {
            let bench = Bench::with_faults(80 * KIB, [(Requests::At(request), corrupt(at))]);
            let config = small().use_threads(threads).max_concurrency(1).build().unwrap();
            std::fs::write(bench.target(), "old").unwrap();
            let error = bench.download(&config).await.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains("CRC64NVME"), "{error}");
            assert_eq!(std::fs::read(bench.target()).unwrap(), b"old");
            assert_eq!(bench.files(), ["object.bin"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_of_one_request_is_compared_too() {
    for hint in [None, Some(5 * KIB)] {
        let bench = Bench::with_faults(5 * KIB, [(Requests::At(0), corrupt(77))]);
        let mut download = bench.client.download("lab", "key");
        if let Some(bytes) = hint {
            download = download.object_bytes(bytes);
        }
        let error = download.to_file(bench.target()).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Corrupt, "{error}");
        bench.assert_nothing();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_at_its_end() {
    let bench = Bench::with_faults(80 * KIB, [(Requests::At(2), corrupt(17 * KIB))]);
    let client = bench.client.clone().with_config(small().max_concurrency(1).build().unwrap());
    let items: Vec<_> = client.download("lab", "key").stream().collect().await;
    let (last, before) = items.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok));
    assert_eq!(last.as_ref().unwrap_err().kind(), TransferErrorKind::Corrupt);
    let error = client.download("lab", "key").range(..).to_bytes().await;
    assert!(error.is_ok(), "the fault is of the third request only");
}

#[tokio::test(start_paused = true)]
async fn the_report_says_why_an_object_was_not_compared() {
    let bench = Bench::new(80 * KIB);
    let integrity = async |change: fn(s3xfer::TransferConfigBuilder) -> s3xfer::TransferConfigBuilder| {
        bench.download(&change(small()).build().unwrap()).await.unwrap().integrity
    };
    assert_eq!(integrity(|config| config).await, Integrity::Validated(ChecksumAlgorithm::Crc64Nvme));
    assert_eq!(
        integrity(|config| config.validate_checksum(false)).await,
        Integrity::NotValidated(NotValidated::TurnedOff)
    );
    let part = bench.client.download("lab", "key").range(5..).discard().await.unwrap().integrity;
    assert_eq!(part, Integrity::NotValidated(NotValidated::PartOfTheObject));
}

#[tokio::test(start_paused = true)]
async fn resumed_bodies_count_into_the_checksum_once() {
    let breaks = (0..5).map(|n| (Requests::At(2 * n), FaultKind::Reset { after_bytes: 999 * n + 1 }));
    let bench = Bench::with_faults(80 * KIB, breaks);
    let report = bench.download(&small().max_concurrency(3).build().unwrap()).await.unwrap();
    assert_eq!((report.integrity, report.retries), (Integrity::Validated(ChecksumAlgorithm::Crc64Nvme), 5));
    bench.assert_whole();
}
