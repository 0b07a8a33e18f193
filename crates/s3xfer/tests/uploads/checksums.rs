//! Servers that refuse checksums: objects are written without one, unless the caller has chosen it.

use crate::lab::{self, Bench, KIB};
use crate::refusing::{Refusing, Rule, has_checksum};
use aws_sdk_s3::config::http::HttpRequest;
use bytes::Bytes;
use futures::stream;
use s3xfer::{ChecksumAlgorithm, Client, Integrity, TransferError, UploadSource};

type Refusal = Option<(u16, &'static str, &'static str)>;

/// Cloudflare's R2, which knows other algorithms.
fn unknown(request: &HttpRequest) -> Refusal {
    let says = "Header 'x-amz-checksum-algorithm' with value 'CRC64NVME' not implemented";
    has_checksum(request).then_some((501, "NotImplemented", says))
}

/// Backblaze's B2.
fn unsupported(request: &HttpRequest) -> Refusal {
    let says = "Unsupported header 'x-amz-checksum-crc64nvme' received for this API call.";
    has_checksum(request).then_some((400, "InvalidArgument", says))
}

/// MinIO before 2025.
fn invalid(request: &HttpRequest) -> Refusal {
    has_checksum(request).then_some((400, "InvalidRequest", "Invalid checksum provided."))
}

/// A server that begins an upload with a checksum all the same.
fn in_parts(request: &HttpRequest) -> Refusal {
    invalid(request).filter(|_| request.uri().contains("partNumber="))
}

/// A server that takes parts with a checksum, too; and one whose upload an earlier process has begun without.
fn at_the_end(request: &HttpRequest) -> Refusal {
    invalid(request).filter(|_| request.method() == "POST" && request.uri().contains("uploadId="))
}

/// A server without access control lists.
fn lists(request: &HttpRequest) -> Refusal {
    let says = "A header you provided implies functionality that is not implemented";
    request.headers().contains_key("x-amz-acl").then_some((501, "NotImplemented", says))
}

fn bench(rule: Rule) -> (Bench, Client, Refusing) {
    let bench = Bench::with(50 * KIB, |lab| lab.min_part_size(1));
    let refusing = Refusing::new(bench.lab.http_client(), rule);
    let config = lab::sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key()).config().to_builder();
    let client = Client::new(aws_sdk_s3::Client::from_conf(config.http_client(refusing.clone()).build()));
    let client = client.with_config(lab::small().build().unwrap());
    (bench, client, refusing)
}

fn bytes(size: u64) -> Bytes {
    (0..size).map(|at| (at % 251) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_without_a_checksum_that_the_server_refuses() {
    let rules: [Rule; 5] = [unknown, unsupported, invalid, in_parts, at_the_end];
    for rule in rules {
        for (size, sort) in [(100, "bytes"), (40 * KIB, "bytes"), (40 * KIB, "file"), (40 * KIB, "stream")] {
            let (bench, client, refusing) = bench(rule);
            let wanted = bytes(size);
            std::fs::write(bench.target(), &wanted).unwrap();
            let source = || match sort {
                "bytes" => UploadSource::bytes(wanted.clone()),
                "file" => UploadSource::file(bench.target()),
                _ => UploadSource::stream(stream::iter([Ok(wanted.clone())])),
            };
            let upload = || client.upload(source(), "lab", "new").least_part_bytes(1);
            let report = upload().await.unwrap();
            assert_eq!(report.retries, 0, "{sort}: {report:?}");
            assert!(bench.lab.object("lab", "new").unwrap() == wanted, "{sort}");
            let once = refusing.refused();
            // Parts that are on their way together are refused together.
            assert!(once <= 5, "{once} of {sort} were refused");
            upload().await.unwrap();
            assert_eq!((refusing.refused(), bench.lab.uploads("lab").len()), (once, 0), "{sort}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_in_parts_goes_without_a_checksum_that_the_server_refuses() {
    let rules: [Rule; 4] = [unknown, unsupported, invalid, at_the_end];
    for rule in rules {
        let (bench, client, refusing) = bench(rule);
        for _ in 0..2 {
            client.copy("lab", "key", "lab", "copy").least_part_bytes(1).in_parts_from(1).await.unwrap();
            bench.object.verify(0, &bench.lab.object("lab", "copy").unwrap()).unwrap();
        }
        assert_eq!((refusing.refused(), bench.lab.uploads("lab").len()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_checksum_that_was_chosen_is_not_left_out() {
    for size in [100, 40 * KIB] {
        let (bench, client, refusing) = bench(unsupported);
        let upload = || client.upload(bytes(size), "lab", "new").least_part_bytes(1);
        for already_known in [false, true] {
            if already_known {
                upload().await.unwrap();
            }
            let before = refusing.refused();
            let error = upload().checksum(ChecksumAlgorithm::Crc64Nvme).await.unwrap_err();
            assert!(matches!(error, TransferError::Refused { status: 400, .. }), "{error:?}");
            assert!(error.to_string().ends_with("Upload::without_checksum"), "{error}");
            assert_eq!(refusing.refused(), before + 1);
        }
        assert_eq!(bench.lab.uploads("lab"), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_carries_a_checksum_where_none_is_wanted() {
    for size in [100, 40 * KIB] {
        let (bench, client, refusing) = bench(unknown);
        let upload = client.upload(bytes(size), "lab", "new").least_part_bytes(1);
        let report = upload.checksum(ChecksumAlgorithm::Crc32).without_checksum().await.unwrap();
        // The lab keeps another algorithm's.
        assert!(matches!(report.integrity, Integrity::NotValidated(_)), "{report:?}");
        assert!(bench.lab.object("lab", "new").unwrap() == bytes(size));
        assert_eq!((refusing.refused(), refusing.with_checksum()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn another_refusal_is_told_and_checksums_are_still_sent() {
    let (_bench, client, refusing) = bench(lists);
    for size in [100, 40 * KIB] {
        let upload = || client.upload(bytes(size), "lab", "new").least_part_bytes(1);
        let error = upload().acl("private").await.unwrap_err();
        assert!(matches!(error, TransferError::Refused { status: 501, .. }), "{error:?}");
        let before = refusing.with_checksum();
        upload().await.unwrap();
        assert!(refusing.with_checksum() > before);
    }
}
