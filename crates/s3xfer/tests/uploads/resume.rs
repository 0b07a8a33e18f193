//! Uploads that go on where an earlier one stopped, in virtual time: the parts that are kept, and the journals that are
//! believed or not.

use std::fs;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::time::Duration;

use crate::lab::{self, Bench, KIB};
use s3lab::{Fault, FaultKind, FaultPlan, NetworkProfile, RequestKind, Requests, SyntheticObject};
use s3xfer::{Progress, TransferErrorKind, TransferReport, Upload};

fn bytes(size: u64) -> Vec<u8> {
    SyntheticObject::new(size, size).slice(0, 1 << 20)[..size as usize].to_vec()
}

/// A file of ten parts to upload, and the faults.
fn bench(faults: impl IntoIterator<Item = (RequestKind, Requests, FaultKind)>) -> Bench {
    let faults = faults.into_iter().map(|(on, requests, kind)| Fault::new("new", requests, kind).on(on));
    let plan = FaultPlan::new(faults).unwrap();
    let bench = Bench::with(1, |lab| lab.min_part_size(1).faults(plan));
    fs::write(bench.target(), bytes(80 * KIB)).unwrap();
    bench
}

fn upload(bench: &Bench) -> Upload {
    let config = lab::small().max_concurrency(1).num_download_attempts(1).patience_seconds(1).build().unwrap();
    let client = bench.client.clone().with_config(config);
    client.upload(bench.target(), "lab", "new").least_part_bytes(1).resume(true)
}

fn count(bench: &Bench, kind: RequestKind) -> u64 {
    bench.lab.stats().count(kind)
}

fn journal(bench: &Bench) -> PathBuf {
    let files = bench.files();
    let name = files.iter().find(|name| name.starts_with(".s3xfer-upload-")).expect("there is a journal");
    bench.folder.path().join(name)
}

fn assert_done(bench: &Bench, size: u64) {
    assert!(bench.lab.object("lab", "new").unwrap() == bytes(size));
    assert_eq!(bench.lab.uploads("lab"), Vec::<String>::new());
    assert_eq!(bench.files(), ["object.bin"]);
}

fn says(report: &TransferReport) -> (u64, u64, u64) {
    (report.bytes, report.resumed_bytes, report.parts)
}

/// The fourth part fails, and with it the upload.
async fn broken() -> Bench {
    let bench = bench([(RequestKind::UploadPart, Requests::At(3), FaultKind::Reset { after_bytes: 1000 })]);
    upload(&bench).await.unwrap_err();
    assert_eq!(bench.lab.uploads("lab").len(), 1);
    bench
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_failed_is_gone_on_with_and_progress_counts_what_is_there() {
    let bench = broken().await;
    let progress = Progress::new();
    let report = upload(&bench).progress(progress.clone()).await.unwrap();
    assert_eq!(says(&report), (80 * KIB, 24 * KIB, 10));
    assert_eq!(progress.snapshot().written_bytes, 80 * KIB);
    assert_eq!((count(&bench, RequestKind::UploadPart), count(&bench, RequestKind::CreateMultipartUpload)), (11, 1));
    assert_done(&bench, 80 * KIB);
}

#[tokio::test(start_paused = true)]
async fn without_the_wish_to_go_on_nothing_is_kept() {
    let bench = bench([(RequestKind::UploadPart, Requests::At(3), FaultKind::Reset { after_bytes: 1000 })]);
    upload(&bench).resume(false).await.unwrap_err();
    assert_eq!((bench.lab.uploads("lab").len(), bench.files()), (0, vec!["object.bin".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_dropped_at_any_moment_is_gone_on_with_in_the_same_process() {
    let network = NetworkProfile::named("same-region").unwrap();
    let mut resumed = 0;
    for milliseconds in (0..700).step_by(23) {
        let bench = Bench::with(1, |lab| lab.min_part_size(1).network(network.clone()));
        fs::write(bench.target(), bytes(80 * KIB)).unwrap();
        let running = upload(&bench).into_future();
        let _ = tokio::time::timeout(Duration::from_millis(milliseconds), running).await;
        let report = upload(&bench).await.unwrap();
        resumed += u32::from(report.resumed_bytes > 0);
        let sent = count(&bench, RequestKind::UploadPart);
        assert!(sent <= 11 || report.resumed_bytes == 0, "{sent} after {milliseconds} ms");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_done(&bench, 80 * KIB);
    }
    assert!(resumed > 5, "{resumed}");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_broke_off_is_gone_on_with() {
    let bench = bench([(RequestKind::UploadPart, Requests::At(3), FaultKind::Reset { after_bytes: 1000 })]);
    let config = lab::small().max_concurrency(1).num_download_attempts(1).patience_seconds(1).build().unwrap();
    let client = bench.client.clone().with_config(config);
    fs::rename(bench.target(), bench.folder.path().join("new")).unwrap();
    let folder = || {
        let up = client.upload_folder(bench.folder.path(), "lab", "").resume(true);
        up.per_object(|upload| upload.least_part_bytes(1))
    };
    folder().await.unwrap_err();
    journal(&bench);
    let report = folder().await.unwrap();
    assert_eq!((report.transferred, report.left_out), (1, 0), "the journal is no file of the folder's");
    assert_eq!((count(&bench, RequestKind::UploadPart), count(&bench, RequestKind::CreateMultipartUpload)), (11, 1));
    assert!(bench.lab.object("lab", "new").unwrap() == bytes(80 * KIB));
    assert_eq!((bench.lab.uploads("lab").len(), bench.files()), (0, vec!["new".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn parts_are_believed_only_where_the_server_has_them_too() {
    let bench = broken().await;
    let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
    // Somebody else sends other bytes as the second part.
    let text = fs::read_to_string(journal(&bench)).unwrap();
    let id = text.split_once("\"upload_id\":\"").unwrap().1.split_once('"').unwrap().0;
    let part = sdk.upload_part().bucket("lab").key("new").upload_id(id).part_number(2);
    let part = part.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc64Nvme);
    part.body(vec![7; 8 << 10].into()).send().await.unwrap();
    let report = upload(&bench).await.unwrap();
    assert_eq!(says(&report), (80 * KIB, 16 * KIB, 10));
    assert_done(&bench, 80 * KIB);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_made_without_an_answer_is_found() {
    for absent in [true, false] {
        let bench = bench([(RequestKind::CompleteMultipartUpload, Requests::Every, FaultKind::LostAnswer)]);
        let upload = || if absent { upload(&bench).if_absent() } else { upload(&bench) };
        upload().await.unwrap_err();
        let report = upload().await.unwrap();
        assert_eq!(says(&report), (80 * KIB, 80 * KIB, 10));
        assert_eq!(count(&bench, RequestKind::UploadPart), 10);
        assert_done(&bench, 80 * KIB);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_may_have_begun_before_its_id_was_known_is_aborted() {
    let bench = bench([(RequestKind::UploadPart, Requests::At(0), FaultKind::Reset { after_bytes: 1000 })]);
    upload(&bench).await.unwrap_err();
    let journal = journal(&bench);
    // As if the process had been killed before it had the answer.
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.split_inclusive('\n').next().unwrap()).unwrap();
    // One of another key stays, and so does one of the same key that has a part.
    let sdk = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key());
    sdk.create_multipart_upload().bucket("lab").key("new/er").send().await.unwrap();
    let other = sdk.create_multipart_upload().bucket("lab").key("new").send().await.unwrap().upload_id.unwrap();
    let part = sdk.upload_part().bucket("lab").key("new").upload_id(&other).part_number(1);
    part.body(vec![7; 10].into()).send().await.unwrap();
    assert_eq!(bench.lab.uploads("lab").len(), 3);
    let report = upload(&bench).await.unwrap();
    assert_eq!(says(&report), (80 * KIB, 0, 10));
    assert_eq!(bench.lab.uploads("lab").len(), 2);
    assert!(bench.lab.uploads("lab").iter().any(|upload| upload.contains(&other)), "{:?}", bench.lab.uploads("lab"));
    assert_eq!(bench.files(), ["object.bin"]);
}

#[tokio::test(start_paused = true)]
async fn what_differs_is_uploaded_anew_and_the_earlier_upload_is_aborted() {
    let bench = broken().await;
    let report = upload(&bench).metadata("colour", "blue").await.unwrap();
    assert_eq!(says(&report), (80 * KIB, 0, 10));
    assert_done(&bench, 80 * KIB);
    // Below the threshold now.
    let bench = broken().await;
    fs::write(bench.target(), bytes(3 * KIB)).unwrap();
    assert_eq!(says(&upload(&bench).await.unwrap()), (3 * KIB, 0, 1));
    assert_done(&bench, 3 * KIB);
    // Gone at the server.
    let bench = broken().await;
    bench.client.abort_stale("lab", "", Duration::ZERO).await.unwrap();
    assert_eq!(says(&upload(&bench).await.unwrap()), (80 * KIB, 0, 10));
    assert_done(&bench, 80 * KIB);
    // No journal at all, or one that nobody can read.
    let bench = broken().await;
    fs::write(journal(&bench), "{}\n").unwrap();
    assert_eq!(says(&upload(&bench).await.unwrap()), (80 * KIB, 0, 10));
    assert_eq!(bench.files(), ["object.bin"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_comes_again_keeps_nothing() {
    let bench = broken().await;
    bench.client.upload(vec![1], "lab", "new").await.unwrap();
    let error = upload(&bench).if_absent().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::ConditionFailed, "{error}");
    assert_eq!((bench.lab.uploads("lab").len(), bench.files()), (0, vec!["object.bin".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn the_journal_lies_where_the_caller_says_or_nowhere() {
    let faults = || [(RequestKind::UploadPart, Requests::At(3), FaultKind::Reset { after_bytes: 1000 })];
    let (bench, elsewhere) = (bench(faults()), tempfile::tempdir().unwrap());
    upload(&bench).resume_in(elsewhere.path()).await.unwrap_err();
    assert_eq!(bench.files(), ["object.bin"]);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    assert_eq!(upload(&bench).resume_in(elsewhere.path()).await.unwrap().resumed_bytes, 24 * KIB);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    // Without the folder there is no journal, and nothing stays at the server.
    let bench = self::bench(faults());
    upload(&bench).resume_in(elsewhere.path().join("gone")).await.unwrap_err();
    assert_eq!(bench.lab.uploads("lab").len(), 0);
    upload(&bench).resume_in(elsewhere.path().join("gone")).await.unwrap();
    assert_done(&bench, 80 * KIB);
}

#[tokio::test(start_paused = true)]
async fn the_journal_says_nothing_that_is_secret() {
    let bench = bench([(RequestKind::UploadPart, Requests::At(3), FaultKind::Reset { after_bytes: 1000 })]);
    let key = s3xfer::SseCustomerKey::new([b'k'; 32]).dangerously_allow_plaintext_http();
    let upload = || upload(&bench).sse_customer_key(key.clone()).metadata("password", "xyzzy");
    upload().await.unwrap_err();
    let text = fs::read_to_string(journal(&bench)).unwrap();
    for secret in ["kkkk", "a2tr", "xyzzy", "6b6b"] {
        assert!(!text.contains(secret), "{text}");
    }
}
