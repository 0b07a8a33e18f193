//! The same promises as against the lab, against Ceph's gateway: another S3, with another reading of the protocol.
//!
//! Where Ceph is not installed the test says so and passes; with `S3XFER_REQUIRE_RADOSGW=1` it fails then. One server
//! is started for all cases, in one test.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod ceph;
mod wire;

use std::fs;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, ObjectCannedAcl, VersioningConfiguration,
};
use ceph::Radosgw;
use futures::future::try_join_all;
use futures::{FutureExt, StreamExt};
use s3lab::SyntheticObject;
use s3xfer::{Client, Integrity, NotValidated, Progress, TransferConfig, TransferErrorKind, UploadSource};
use tempfile::TempDir;
use wire::Http;

const MIB: u64 = 1 << 20;
const BUCKET: &str = "things";

#[test]
fn radosgw_gives_what_was_put_into_it() {
    let missing = ceph::missing();
    if !missing.is_empty() {
        let required = std::env::var_os("S3XFER_REQUIRE_RADOSGW").is_some_and(|value| value == "1");
        assert!(!required, "S3XFER_REQUIRE_RADOSGW is 1, but {missing:?} are not on the PATH");
        eprintln!("skipped: Ceph's {missing:?} are not on the PATH");
        return;
    }
    // Started here, on the test's own thread, with which the kernel would end it.
    let server = Radosgw::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = wire::sdk(&server.endpoint, Some((server.access, server.secret)), Http::Sdks);
        store.create_bucket().bucket(BUCKET).send().await.unwrap();
        let cases = Cases { server: &server, store, folder: tempfile::tempdir().unwrap() };
        // Boxed: together the SDK's futures are larger than a stack.
        for http in Http::BOTH {
            eprintln!("with {http:?}");
            cases.sizes(http).boxed_local().await;
            cases.ranges_and_sinks(http).boxed_local().await;
            cases.odd_keys(http).boxed_local().await;
            cases.refusals(http).boxed_local().await;
            cases.an_object_replaced_half_way(http).boxed_local().await;
            cases.uploads(http).boxed_local().await;
            cases.copies(http).boxed_local().await;
        }
        cases.versions().boxed_local().await;
        cases.a_public_object().boxed_local().await;
        cases.headers_of_payers_and_owners().boxed_local().await;
        cases.an_aborted_download_goes_on().boxed_local().await;
        cases.many_at_once().boxed_local().await;
    });
}

struct Cases<'a> {
    server: &'a Radosgw,
    /// To put objects with.
    store: aws_sdk_s3::Client,
    folder: TempDir,
}

fn bytes_of(object: &SyntheticObject) -> Vec<u8> {
    let mut bytes = vec![0; object.size() as usize];
    object.fill(0, &mut bytes);
    bytes
}

impl Cases<'_> {
    fn client(&self, http: Http) -> Client {
        let keys = (self.server.access, self.server.secret);
        let config = TransferConfig::builder().multipart_threshold(MIB).multipart_chunksize(3 * MIB);
        Client::new(wire::sdk(&self.server.endpoint, Some(keys), http)).with_config(config.build().unwrap())
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// The folder holds nothing; or nothing but the target, if that is to be there.
    fn assert_files(&self, names: &[&str]) {
        let found: Vec<_> = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(found, names);
    }

    /// Bytes that belong to `key` and no other.
    async fn put(&self, key: &str, size: u64) -> SyntheticObject {
        let object = SyntheticObject::named(BUCKET, key, size);
        let body = ByteStream::from(bytes_of(&object));
        self.store.put_object().bucket(BUCKET).key(key).body(body).send().await.unwrap();
        object
    }

    /// As most large objects come into a store.
    async fn put_in_parts(&self, key: &str, size: u64, part: u64) -> SyntheticObject {
        let object = SyntheticObject::named(BUCKET, key, size);
        let upload = self.store.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
        let id = upload.upload_id().unwrap();
        let bytes = bytes_of(&object);
        let mut parts = Vec::new();
        for (number, bytes) in (1..).zip(bytes.chunks(part as usize)) {
            let body = ByteStream::from(bytes.to_vec());
            let put = self.store.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(number).body(body);
            let e_tag = put.send().await.unwrap().e_tag.unwrap();
            parts.push(CompletedPart::builder().part_number(number).e_tag(e_tag).build());
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.store.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(id);
        complete.multipart_upload(parts).send().await.unwrap();
        object
    }

    async fn assert_downloads(&self, client: &Client, key: &str, object: &SyntheticObject) {
        let report = client.download(BUCKET, key).to_file(self.target()).await.unwrap();
        let bytes = fs::read(self.target()).unwrap();
        assert_eq!((bytes.len() as u64, report.bytes), (object.size(), object.size()), "{key:?}");
        object.verify(0, &bytes).unwrap();
        assert_eq!(report.integrity, Integrity::NotValidated(NotValidated::NoChecksum), "this one keeps no checksums");
        self.assert_files(&["target"]);
        fs::remove_file(self.target()).unwrap();
    }

    async fn sizes(&self, http: Http) {
        for size in [0, 1, 5 * MIB + 1] {
            let key = format!("of {size} bytes");
            let object = self.put(&key, size).await;
            self.assert_downloads(&self.client(http), &key, &object).await;
        }
        let object = self.put_in_parts("in parts", 40 * MIB, 8 * MIB).await;
        self.assert_downloads(&self.client(http), "in parts", &object).await;
        // With parts of the upload's size, and with the object in one.
        for chunk in [8 * MIB, 64 * MIB] {
            let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(chunk).build().unwrap();
            self.assert_downloads(&self.client(http).with_config(config), "in parts", &object).await;
        }
    }

    async fn ranges_and_sinks(&self, http: Http) {
        let size = 40 * MIB;
        let whole = bytes_of(&SyntheticObject::named(BUCKET, "in parts", size));
        let client = self.client(http);
        for (start, end) in [(0, 1), (size - 1, size + 9), (8 * MIB - 1, 8 * MIB + 1), (5, 20 * MIB)] {
            let (bytes, _) = client.download(BUCKET, "in parts").range(start..end).to_bytes().await.unwrap();
            assert!(bytes == whole[start as usize..end.min(size) as usize], "{start}..{end}");
        }
        let error = client.download(BUCKET, "in parts").range(size..).discard().await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NoSuchRange, "{error}");
        let error = client.download(BUCKET, "of 0 bytes").range(0..5).discard().await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NoSuchRange, "{error}");

        let mut streamed = Vec::new();
        let mut stream = client.download(BUCKET, "in parts").stream();
        while let Some(frame) = stream.next().await {
            streamed.extend_from_slice(&frame.unwrap());
        }
        let mut written = Vec::new();
        client.download(BUCKET, "in parts").to_writer(&mut written).await.unwrap();
        let (gathered, _) = client.download(BUCKET, "in parts").object_bytes(size).to_bytes().await.unwrap();
        assert!(streamed == whole && written == whole && gathered == whole);
    }

    /// Every kind of source, in one piece and in parts.
    async fn uploads(&self, http: Http) {
        let client = self.client(http);
        for size in [0, 100_000, 18 * MIB + 1] {
            let object = SyntheticObject::named(BUCKET, "up", size);
            let bytes = bytes_of(&object);
            let path = self.folder.path().join("source");
            fs::write(&path, &bytes).unwrap();
            for source in [
                UploadSource::bytes(bytes.clone()),
                UploadSource::file(&path),
                UploadSource::reader(std::io::Cursor::new(bytes.clone())),
            ] {
                let shown = format!("{source:?}");
                let upload = client.upload(source, BUCKET, "up.json").metadata("colour", "blue").tag("a b", "c&d");
                let report = upload.await.unwrap();
                assert_eq!((report.bytes, report.retries), (size, 0), "{shown}");
                let head = self.store.head_object().bucket(BUCKET).key("up.json").send().await.unwrap();
                assert_eq!((head.content_length, head.e_tag), (Some(size as i64), report.e_tag), "{shown}");
                assert_eq!(head.content_type.as_deref(), Some("application/json"));
                assert_eq!(head.metadata.unwrap().get("colour").map(String::as_str), Some("blue"));
                // It keeps no tags of multipart uploads.
                if size < 8 * MIB {
                    let tags = self.store.get_object_tagging().bucket(BUCKET).key("up.json").send().await.unwrap();
                    let tags: Vec<_> = tags.tag_set.iter().map(|tag| (&*tag.key, &*tag.value)).collect();
                    assert_eq!(tags, [("a b", "c&d")]);
                }
                let (read, _) = client.download(BUCKET, "up.json").to_bytes().await.unwrap();
                assert!(read == bytes, "{shown}");
            }
            fs::remove_file(&path).unwrap();
        }
        // An upload that is dropped half way is aborted.
        let upload = client.upload(bytes_of(&SyntheticObject::new(1, 40 * MIB)), BUCKET, "dropped").into_future();
        let _ = tokio::time::timeout(Duration::from_millis(60), upload).await;
        client.settled().await;
        let open = self.store.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
        assert_eq!(open.uploads().len(), 0);
        // An upload that is never ended is aborted on request.
        self.store.create_multipart_upload().bucket(BUCKET).key("stale").send().await.unwrap();
        let aborted = client.abort_stale(BUCKET, "", Duration::ZERO).await.unwrap();
        assert_eq!(aborted.iter().map(|upload| &*upload.key).collect::<Vec<_>>(), ["stale"]);
    }

    async fn copies(&self, http: Http) {
        let client = self.client(http);
        let object = self.put_in_parts("to copy", 18 * MIB, 6 * MIB).await;
        for in_parts_from in [1, u64::MAX] {
            let copy = client.copy(BUCKET, "to copy", BUCKET, "copied").in_parts_from(in_parts_from);
            assert_eq!(copy.await.unwrap().bytes, object.size());
            let (read, _) = client.download(BUCKET, "copied").to_bytes().await.unwrap();
            assert_eq!(read.len() as u64, object.size());
            object.verify(0, &read).unwrap();
        }
        let error = client.copy(BUCKET, "nothing", BUCKET, "copied").await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotFound, "{error}");
    }

    async fn odd_keys(&self, http: Http) {
        let client = self.client(http);
        let long = "é/".repeat(341) + "x";
        assert_eq!(long.len(), 1024);
        let keys =
            ["with a space", "größe/日本語", "a+b=c&d", "100%", "%2F%20", "two//slashes", "a/", "~.-_!*'();:@,?#[]"];
        for key in keys.into_iter().chain([long.as_str()]) {
            let object = self.put(key, 1000).await;
            self.assert_downloads(&client, key, &object).await;
        }
    }

    async fn refusals(&self, http: Http) {
        let kind = async |client: &Client, bucket: &str, key: &str| {
            let error = client.download(bucket, key).to_file(self.target()).await.unwrap_err();
            self.assert_files(&[]);
            (error.kind(), error.to_string())
        };
        let client = self.client(http);
        let (found, says) = kind(&client, BUCKET, "nothing").await;
        assert!(found == TransferErrorKind::NotFound && says.contains("NoSuchKey"), "{says}");
        let (found, says) = kind(&client, "no-such-bucket", "x").await;
        assert!(found == TransferErrorKind::NotFound && says.contains("NoSuchBucket"), "{says}");
        let secret = "not-the-secret";
        for keys in [Some((self.server.access, secret)), Some(("nobody", secret)), None] {
            let stranger = Client::new(wire::sdk(&self.server.endpoint, keys, http));
            let (found, says) = kind(&stranger, BUCKET, "of 1 bytes").await;
            assert!(found == TransferErrorKind::Denied && !says.contains(secret), "{says}");
        }
    }

    async fn an_object_replaced_half_way(&self, http: Http) {
        let key = "replaced";
        self.put(key, 24 * MIB).await;
        let config = TransferConfig::builder()
            .multipart_threshold(MIB)
            .multipart_chunksize(MIB)
            .max_concurrency(2)
            .max_bandwidth(8 * MIB)
            .build()
            .unwrap();
        let progress = Progress::new();
        let download = self.client(http).with_config(config).download(BUCKET, key).progress(progress.clone());
        let download = tokio::spawn(download.to_file(self.target()).into_future());
        while progress.snapshot().written_bytes < 4 * MIB {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let e_tag = self.store.head_object().bucket(BUCKET).key(key).send().await.unwrap().e_tag.unwrap();
        let newer = ByteStream::from(vec![7; 24 * MIB as usize]);
        self.store.put_object().bucket(BUCKET).key(key).body(newer).send().await.unwrap();
        // The engine compares ETags besides; here it is the server that must refuse.
        let pinned = self.store.get_object().bucket(BUCKET).key(key).if_match(e_tag).range("bytes=0-9").send().await;
        assert_eq!(pinned.unwrap_err().raw_response().unwrap().status().as_u16(), 412);
        let error = download.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::ObjectChanged, "{error}");
        self.assert_files(&[]);
    }

    async fn versions(&self) {
        let (bucket, key) = ("versions", "key");
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        self.store.create_bucket().bucket(bucket).send().await.unwrap();
        self.store.put_bucket_versioning().bucket(bucket).versioning_configuration(on).send().await.unwrap();
        let mut versions = Vec::new();
        for fill in [1_u8, 2] {
            let body = ByteStream::from(vec![fill; 5 * MIB as usize]);
            let put = self.store.put_object().bucket(bucket).key(key).body(body).send().await.unwrap();
            versions.push((fill, put.version_id.unwrap()));
        }
        let client = self.client(Http::Ours);
        let (newest, _) = client.download(bucket, key).to_bytes().await.unwrap();
        assert!(newest.len() as u64 == 5 * MIB && newest.iter().all(|byte| *byte == 2));
        self.store.delete_object().bucket(bucket).key(key).send().await.unwrap();
        let error = client.download(bucket, key).to_bytes().await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotFound, "{error}");
        for (fill, id) in versions {
            let (bytes, _) = client.download(bucket, key).version_id(id).to_bytes().await.unwrap();
            assert!(bytes.len() as u64 == 5 * MIB && bytes.iter().all(|byte| *byte == fill), "{fill}");
        }
    }

    async fn a_public_object(&self) {
        let object = SyntheticObject::named(BUCKET, "public", 5 * MIB);
        let put = self.store.put_object().bucket(BUCKET).key("public").acl(ObjectCannedAcl::PublicRead);
        put.body(ByteStream::from(bytes_of(&object))).send().await.unwrap();
        for http in Http::BOTH {
            let anybody = Client::new(wire::sdk(&self.server.endpoint, None, http));
            self.assert_downloads(&anybody, "public", &object).await;
        }
    }

    async fn headers_of_payers_and_owners(&self) {
        let download = self.client(Http::Ours).download(BUCKET, "of 1 bytes");
        let report = download.request_payer().expected_bucket_owner("123456789012").discard().await.unwrap();
        assert_eq!(report.bytes, 1);
    }

    async fn an_aborted_download_goes_on(&self) {
        let object = SyntheticObject::named(BUCKET, "in parts", 40 * MIB);
        let slow = TransferConfig::builder().multipart_threshold(MIB).multipart_chunksize(2 * MIB).max_concurrency(2);
        let slow = self.client(Http::Ours).with_config(slow.max_bandwidth(20 * MIB).build().unwrap());
        let progress = Progress::new();
        let download = slow.download(BUCKET, "in parts").progress(progress.clone()).to_file(self.target()).resume(true);
        let download = tokio::spawn(download.into_future());
        while progress.snapshot().written_bytes < 12 * MIB {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        download.abort();
        assert!(download.await.unwrap_err().is_cancelled());
        assert!(!self.target().exists());
        let again = self.client(Http::Sdks).download(BUCKET, "in parts").to_file(self.target()).resume(true);
        let report = again.await.unwrap();
        assert!(report.resumed_bytes >= 8 * MIB, "{}", report.resumed_bytes);
        object.verify(0, &fs::read(self.target()).unwrap()).unwrap();
        self.assert_files(&["target"]);
        fs::remove_file(self.target()).unwrap();
    }

    async fn many_at_once(&self) {
        let object = SyntheticObject::named(BUCKET, "of 5242881 bytes", 5 * MIB + 1);
        let client = self.client(Http::Ours);
        let downloads = (0..30).map(|_| client.download(BUCKET, "of 5242881 bytes").to_bytes());
        for (bytes, _) in try_join_all(downloads).await.unwrap() {
            assert_eq!(bytes.len() as u64, object.size());
            object.verify(0, &bytes).unwrap();
        }
    }
}
