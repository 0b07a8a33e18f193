//! Every place a download can end in gets the same bytes, and reads no faster than it is read.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::lab::{Bench, KIB, small};
use bytes::Bytes;
use futures::StreamExt;
use s3lab::{FaultKind, NetworkProfile, Requests};
use s3xfer::conformance::{assert_full_is_an_error, assert_write_at};
use s3xfer::{Client, Integrity, Progress, TransferConfig, TransferErrorKind, WriteAt};

fn config() -> TransferConfig {
    small().max_concurrency(4).build().unwrap()
}

fn client(bench: &Bench) -> Client {
    bench.client.clone().with_config(config())
}

async fn collect(mut stream: s3xfer::ObjectStream) -> Result<Vec<u8>, s3xfer::TransferError> {
    let mut bytes = Vec::new();
    while let Some(frame) = stream.next().await {
        bytes.extend_from_slice(&frame?);
    }
    assert!(stream.next().await.is_none(), "an end is an end");
    assert_eq!(stream.report().unwrap().bytes, bytes.len() as u64);
    Ok(bytes)
}

/// Records every write, and refuses to be written to twice.
#[derive(Default, Clone)]
struct Recorded {
    bytes: Arc<Mutex<Vec<Option<u8>>>>,
    refuse_from: Option<u64>,
}

impl WriteAt for Recorded {
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().resize(bytes as usize, None);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.refuse_from.is_some_and(|from| offset + bytes.len() as u64 > from) {
            return Err(io::Error::other("enough"));
        }
        let mut all = self.bytes.lock().unwrap();
        for (place, byte) in all[offset as usize..].iter_mut().zip(bytes) {
            assert_eq!(place.replace(*byte), None, "written twice");
        }
        Ok(())
    }
}

#[test]
fn the_sink_of_these_tests_keeps_the_contract() {
    let read = |sink: Recorded| {
        let bytes = sink.bytes.lock().unwrap();
        bytes.iter().map(|byte| byte.unwrap()).collect()
    };
    assert_write_at(7, Recorded::default, read);
    assert_full_is_an_error(7, 20 * KIB, || Recorded { refuse_from: Some(20 * KIB), ..Recorded::default() });
}

#[tokio::test(start_paused = true)]
async fn every_sink_gets_the_same_bytes() {
    for size in [0, 1, 8 * KIB - 1, 8 * KIB, 8 * KIB + 1, 100_003] {
        for threads in [true, false] {
            let faults = [(Requests::At(2), FaultKind::Reset { after_bytes: 100 })];
            let bench = Bench::with_faults(size, faults);
            let client = bench.client.clone().with_config(small().use_threads(threads).build().unwrap());
            let download = || client.download("lab", "key");

            let (bytes, report) = download().to_bytes().await.unwrap();
            assert_eq!((bytes.len() as u64, report.bytes), (size, size));
            bench.object.verify(0, &bytes).unwrap();
            // The lab has no checksum of nothing.
            assert_eq!(matches!(report.integrity, Integrity::Validated(_)), size > 0, "{size}: {:?}", report.integrity);

            assert_eq!(collect(download().stream()).await.unwrap(), bytes);

            let mut written = Vec::new();
            download().to_writer(&mut written).await.unwrap();
            assert_eq!(written, bytes);

            let sink = Recorded::default();
            download().to_write_at(sink.clone()).await.unwrap();
            let recorded: Vec<u8> = sink.bytes.lock().unwrap().iter().map(|byte| byte.unwrap()).collect();
            assert_eq!(recorded, bytes);

            let report = download().discard().await.unwrap();
            assert_eq!((report.bytes, report.writes > 0), (size, size > 0));

            download().to_file("/dev/null").await.unwrap();
            download().to_file(bench.target()).await.unwrap();
            bench.assert_whole();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_of_the_object_is_a_whole_download_of_its_own() {
    let size = 100_003;
    let bench = Bench::new(size);
    let (whole, _) = bench.client.download("lab", "key").to_bytes().await.unwrap();
    for (start, end) in [(0, size), (0, 1), (1, 2), (5_000, 30_000), (size - 1, size), (90_000, size + 5_000)] {
        let expected = &whole[start as usize..end.min(size) as usize];
        let download = || client(&bench).download("lab", "key").range(start..end);
        let (bytes, report) = download().to_bytes().await.unwrap();
        assert_eq!(bytes, expected, "{start}..{end}");
        assert_eq!((report.bytes, report.object_bytes), (expected.len() as u64, size));
        assert_eq!(collect(download().stream()).await.unwrap(), expected);
        download().to_file(bench.target()).await.unwrap();
        assert_eq!(std::fs::read(bench.target()).unwrap(), expected);
    }
    let (tail, _) = client(&bench).download("lab", "key").range(60_000..).to_bytes().await.unwrap();
    assert_eq!(tail, whole[60_000..]);
    std::fs::remove_file(bench.target()).unwrap();
    for range in [size..size + 1, 5..5, 900_000..u64::MAX] {
        let error = client(&bench).download("lab", "key").range(range).to_file(bench.target()).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NoSuchRange, "{error}");
        bench.assert_nothing();
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_object_has_an_empty_whole_and_no_ranges() {
    let bench = Bench::new(0);
    let (bytes, report) = client(&bench).download("lab", "key").to_bytes().await.unwrap();
    assert_eq!((bytes, report.parts), (Bytes::new(), 0));
    assert_eq!(collect(client(&bench).download("lab", "key").stream()).await.unwrap(), b"");
    let error = client(&bench).download("lab", "key").range(0..10).discard().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NoSuchRange, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_known_size_saves_the_question_for_the_checksum_and_a_wrong_one_does_no_harm() {
    let bench = Bench::new(8 * KIB);
    let (_, report) = client(&bench).download("lab", "key").object_bytes(8 * KIB).to_bytes().await.unwrap();
    assert!(matches!(report.integrity, Integrity::Validated(_)), "{:?}", report.integrity);
    assert_eq!(bench.lab.stats().total(), 1);
    assert_eq!(bench.ranges(), ["whole"]);
    for (size, said) in [(100_003, 5), (100_003, 8 * KIB), (5, 100_003), (5, 0), (0, 7)] {
        let bench = Bench::new(size);
        let (bytes, _) = client(&bench).download("lab", "key").object_bytes(said).to_bytes().await.unwrap();
        assert_eq!(bytes.len() as u64, size, "said to have {said}");
        bench.object.verify(0, &bytes).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_is_not_fetched_and_not_broken_off() {
    // A part that fits into memory many times, and one that does not at all.
    for chunk in [64 * KIB, 3 << 20] {
        not_read_for_a_while(chunk).await;
    }
}

async fn not_read_for_a_while(chunk: u64) {
    let network = NetworkProfile::unlimited().with_first_byte(5.0, 0.0).unwrap();
    let bench = Bench::behind(6 << 20, network);
    let config = TransferConfig::builder()
        .multipart_threshold(1)
        .multipart_chunksize(chunk)
        .max_concurrency(2)
        .memory_limit(2 << 20)
        .build()
        .unwrap();
    let client = bench.client.clone().with_config(config);
    let progress = Progress::new();
    let mut stream = client.download("lab", "key").progress(progress.clone()).stream();
    let first = stream.next().await.unwrap().unwrap();
    // Longer than any deadline of the engine.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let fetched = bench.lab.stats().bytes_out;
    assert!(fetched < 2 << 20, "{fetched} bytes were fetched for a reader of {}, in parts of {chunk}", first.len());
    assert_eq!(progress.snapshot().written_bytes, first.len() as u64, "progress counts what was handed over");
    let mut bytes = first.to_vec();
    while let Some(frame) = stream.next().await {
        bytes.extend_from_slice(&frame.unwrap());
    }
    bench.object.verify(0, &bytes).unwrap();
    let report = stream.report().unwrap();
    assert_eq!((bytes.len(), report.retries), (6 << 20, 0));
    assert!(report.peak_memory_bytes <= 2 << 20, "{}", report.peak_memory_bytes);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_fetches_no_more_than_two_parts_for_each_request_whatever_memory_there_is() {
    for (max_concurrency, parts) in [(1, 2), (2, 4), (5, 10)] {
        let bench = Bench::new(64 * 64 * KIB);
        let config = TransferConfig::builder()
            .multipart_threshold(1)
            .multipart_chunksize(64 * KIB)
            .max_concurrency(max_concurrency)
            .memory_limit(64 << 20)
            .build()
            .unwrap();
        let mut stream = bench.client.clone().with_config(config).download("lab", "key").stream();
        stream.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(bench.ranges().len() as u64, parts, "the part that is being read is one of them");
        assert!(bench.lab.stats().bytes_out <= parts * 64 * KIB, "{:?}", bench.lab.stats());
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_share_little_memory_can_be_read_in_any_order() {
    let bench = Bench::new(1 << 20);
    for chunk in [16 * KIB, 300 * KIB, 2 << 20] {
        let config = TransferConfig::builder()
            .multipart_threshold(1)
            .multipart_chunksize(chunk)
            .max_concurrency(8)
            .memory_limit(4 << 20)
            .build()
            .unwrap();
        let client = bench.client.clone().with_config(config);
        let mut streams: Vec<_> = (0..3).map(|_| client.download("lab", "key").stream()).collect();
        for stream in &mut streams {
            stream.next().await.unwrap().unwrap();
        }
        // The last one first: the others hold memory meanwhile.
        for mut stream in streams.into_iter().rev() {
            while let Some(frame) = stream.next().await {
                frame.unwrap();
            }
            assert_eq!(stream.report().unwrap().bytes, 1 << 20);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_the_bytes_before_a_failure_and_then_the_failure() {
    let fault = (Requests::Range(3..100), FaultKind::InternalError);
    let bench = Bench::with_faults(80 * KIB, [fault]);
    let config = small().max_concurrency(1).build().unwrap();
    let mut stream = bench.client.clone().with_config(config).download("lab", "key").stream();
    let mut bytes = Vec::new();
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(frame) => bytes.extend_from_slice(&frame),
            Err(error) => break error,
        }
    };
    assert_eq!((bytes.len() as u64, error.kind()), (24 * KIB, TransferErrorKind::Interrupted));
    bench.object.verify(0, &bytes).unwrap();
    assert!(stream.next().await.is_none() && stream.report().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_ends_the_download_with_its_word() {
    let bench = Bench::new(80 * KIB);
    for threads in [true, false] {
        let sink = Recorded { refuse_from: Some(20 * KIB), ..Recorded::default() };
        let client = bench.client.clone().with_config(small().use_threads(threads).build().unwrap());
        let error = client.download("lab", "key").to_write_at(sink).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Sink, "{error}");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "enough");
    }
    let mut short = [0; 100];
    let error = client(&bench).download("lab", "key").to_writer(io::Cursor::new(&mut short[..])).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Sink, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_ends_the_download_though_other_parts_stand_still() {
    /// So slow that other threads write, and full when the last piece of the second part comes: its task has ended well
    /// by then, and only the writer knows.
    struct SlowAndThenFull;
    impl WriteAt for SlowAndThenFull {
        fn write_at(&self, offset: u64, _: &[u8]) -> io::Result<()> {
            std::thread::sleep(Duration::from_millis(3));
            if offset >= 16 * KIB - 256 { Err(io::Error::other("enough")) } else { Ok(()) }
        }
    }

    let stalled = (Requests::Range(2..100), FaultKind::Stall { after_bytes: 10, duration: None });
    let bench = Bench::with_faults(80 * KIB, [stalled]);
    let sink = SlowAndThenFull;
    let began = tokio::time::Instant::now();
    let error = client(&bench).download("lab", "key").to_write_at(sink).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Sink, "{error}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(bench.ranges().len() < 10, "{:?}", bench.ranges());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_ends_the_download_with_its_word() {
    /// Panics when it is to make room, or at a byte.
    struct Panics {
        at: Option<u64>,
    }
    impl WriteAt for Panics {
        fn reserve(&self, bytes: u64) -> io::Result<()> {
            assert!(self.at.is_some(), "no room for {bytes}");
            Ok(())
        }

        fn write_at(&self, offset: u64, _: &[u8]) -> io::Result<()> {
            if self.at.is_some_and(|at| offset >= at) { panic!("not a byte more") } else { Ok(()) }
        }
    }

    let bench = Bench::new(80 * KIB);
    for threads in [true, false] {
        let config = small().use_threads(threads).max_io_queue(2).build().unwrap();
        let client = bench.client.clone().with_config(config);
        for (at, word) in
            [(Some(0), "not a byte more"), (Some(40 * KIB), "not a byte more"), (None, "no room for 81920")]
        {
            let download = client.download("lab", "key").to_write_at(Panics { at });
            let ended = tokio::time::timeout(Duration::from_secs(3600), download).await.expect("it ends");
            let error = ended.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::Sink, "{error}");
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), format!("it panicked: {word}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_memory_is_told_before_it_is_fetched() {
    let bench = Bench::new(1 << 30);
    let config = TransferConfig::builder().memory_limit(8 << 20).validate_checksum(false).build().unwrap();
    let download = bench.client.clone().with_config(config).download("lab", "key");
    let error = download.to_bytes().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::TooLarge, "{error}");
    assert!(error.to_string().contains("1073741824"), "{error}");
    assert_eq!(bench.ranges().len(), 1);
}

/// Counts the calls of a slow sink: pieces are as large as asked for.
struct Counting(Arc<AtomicU64>);

impl WriteAt for Counting {
    fn write_at(&self, _: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_moment_no_sink_gets_more() {
    let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(0.2)).unwrap();
    for milliseconds in (0..90).step_by(7) {
        let bench = Bench::behind(80 * KIB, network.clone());
        let written = Arc::new(AtomicU64::new(0));
        let download = client(&bench).download("lab", "key").to_write_at(Counting(written.clone()));
        let cut = tokio::time::timeout(Duration::from_millis(milliseconds), download).await;
        assert!(cut.is_err(), "80 KiB take longer than {milliseconds} ms");
        let by_then = written.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(written.load(Ordering::Relaxed), by_then);
        assert_eq!(Arc::strong_count(&written), 1, "the sink is let go");
    }
}

#[tokio::test]
async fn a_fifo_takes_the_bytes_in_order_once_somebody_reads() {
    let bench = Bench::new(300_000);
    let fifo = bench.folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let path = fifo.clone();
    let reader = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(60));
        let mut bytes = Vec::new();
        std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    });
    client(&bench).download("lab", "key").to_file(&fifo).await.unwrap();
    let bytes = reader.await.unwrap();
    assert_eq!(bytes.len(), 300_000);
    bench.object.verify(0, &bytes).unwrap();
    assert_eq!(bench.files(), ["fifo"]);
}

#[tokio::test(start_paused = true)]
async fn a_fifo_that_nobody_reads_is_given_up_after_a_while() {
    let bench = Bench::new(300_000);
    let fifo = bench.folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let error = client(&bench).download("lab", "key").to_file(&fifo).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Disk, "{error}");
    assert!(error.to_string().contains("within 30 s"), "{error}");
    assert_eq!(bench.lab.stats().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_transfer_timeout_holds_while_a_reader_takes_nothing() {
    let bench = Bench::new(300_000);
    let config = small().transfer_timeout_seconds(7).build().unwrap();
    let client = bench.client.clone().with_config(config);
    let (writer, _reader) = tokio::io::duplex(10);
    let began = tokio::time::Instant::now();
    let error = client.download("lab", "key").to_writer(writer).await.unwrap_err();
    assert_eq!((error.kind(), began.elapsed().as_secs()), (TransferErrorKind::TimedOut, 7), "{error}");

    let fifo = bench.folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let error = client.download("lab", "key").to_file(&fifo).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::TimedOut, "nobody opens it: {error}");
}
