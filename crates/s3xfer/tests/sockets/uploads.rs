//! Uploads over real sockets: both HTTP clients, every kind of source, S3's own sizes, and faults on the way.

use std::future::IntoFuture;
use std::io::Write;
use std::time::Duration;

use crate::wire::{Http, sdk};
use bytes::Bytes;
use s3lab::{Fault, FaultKind, FaultPlan, Lab, NetworkProfile, RequestKind, Requests, Server, SyntheticObject};
use s3xfer::{Client, Integrity, SseCustomerKey, TransferConfig, TransferErrorKind, UploadSource};

const MIB: u64 = 1 << 20;

fn bytes(size: u64) -> Bytes {
    let mut bytes = vec![0; size as usize];
    SyntheticObject::new(size, size).fill(0, &mut bytes);
    bytes.into()
}

struct Scene {
    lab: Lab,
    server: Server,
}

impl Scene {
    async fn new(network: NetworkProfile, faults: impl IntoIterator<Item = Fault>) -> Self {
        let plan = FaultPlan::new(faults).unwrap();
        let lab = Lab::builder().bucket("lab").network(network).faults(plan).build().unwrap();
        let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { lab, server }
    }

    fn client(&self, http: Http) -> Client {
        Client::new(sdk(&self.server.endpoint(), Some((self.lab.access_key(), self.lab.secret_key())), http))
    }

    fn assert_stored(&self, wanted: &[u8]) {
        assert!(self.lab.object("lab", "new").expect("there is an object") == wanted);
        assert_eq!(self.lab.uploads("lab"), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_arrives_by_either_client() {
    let folder = tempfile::tempdir().unwrap();
    for http in Http::BOTH {
        for size in [0, 100_000, 18 * MIB + 5] {
            let wanted = bytes(size);
            let path = folder.path().join("file");
            std::fs::write(&path, &wanted).unwrap();
            let fifo = folder.path().join("fifo");
            let _ = std::fs::remove_file(&fifo);
            assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
            let (writes, into) = (wanted.clone(), fifo.clone());
            let writer = std::thread::spawn(move || {
                std::fs::OpenOptions::new().write(true).open(into).unwrap().write_all(&writes).unwrap();
            });
            for source in [
                UploadSource::bytes(wanted.clone()),
                UploadSource::file(&path),
                UploadSource::reader(std::io::Cursor::new(wanted.to_vec())),
                UploadSource::file(&fifo),
            ] {
                let scene = Scene::new(NetworkProfile::unlimited(), []).await;
                let report = scene.client(http).upload(source, "lab", "new").await.unwrap();
                scene.assert_stored(&wanted);
                assert!(matches!(report.integrity, Integrity::Validated(_)), "{report:?}");
                assert_eq!((report.bytes, report.retries), (size, 0));
            }
            writer.join().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_on_the_way_is_sent_again() {
    let wanted = bytes(18 * MIB);
    for http in Http::BOTH {
        for (on, kind) in [
            (RequestKind::UploadPart, FaultKind::Reset { after_bytes: 3 * MIB }),
            (RequestKind::UploadPart, FaultKind::SlowDown),
            (RequestKind::UploadPart, FaultKind::LostAnswer),
            (RequestKind::UploadPart, FaultKind::Corrupt { at: MIB }),
            (RequestKind::CompleteMultipartUpload, FaultKind::LostAnswer),
            (RequestKind::CompleteMultipartUpload, FaultKind::LateError),
        ] {
            let fault = Fault::new("new", Requests::At(0), kind.clone()).on(on);
            let scene = Scene::new(NetworkProfile::unlimited(), [fault]).await;
            let report = scene.client(http).upload(wanted.clone(), "lab", "new").if_absent().await.unwrap();
            scene.assert_stored(&wanted);
            assert!(report.retries >= 1, "{http:?} {kind:?}: {report:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_upload_is_aborted_and_can_be_waited_for() {
    let network = NetworkProfile::unlimited().with_link_mb_per_s(Some(20.0)).unwrap();
    let scene = Scene::new(network, []).await;
    let client = scene.client(Http::Ours);
    let upload = client.upload(bytes(60 * MIB), "lab", "new").into_future();
    tokio::time::timeout(Duration::from_millis(700), upload).await.unwrap_err();
    tokio::time::timeout(Duration::from_secs(20), client.settled()).await.unwrap();
    assert_eq!(scene.lab.uploads("lab"), Vec::<String>::new());
    assert_eq!(scene.lab.object("lab", "new"), None);
    assert!(scene.lab.stats().count(RequestKind::CreateMultipartUpload) == 1, "{:?}", scene.lab.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_key_does_not_go_in_clear() {
    let scene = Scene::new(NetworkProfile::unlimited(), []).await;
    for size in [10, 18 * MIB] {
        let upload = scene.client(Http::Ours).upload(bytes(size), "lab", "new");
        let error = upload.sse_customer_key(SseCustomerKey::new([7; 32])).await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotSent, "{error}");
    }
    assert_eq!(scene.lab.stats().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_soon() {
    let scene = Scene::new(NetworkProfile::unlimited(), []).await;
    let endpoint = scene.server.endpoint();
    scene.server.shutdown().await;
    let client = Client::new(sdk(&endpoint, Some(("a", "b")), Http::Ours)).with_config(TransferConfig::boto3());
    for size in [10, 18 * MIB] {
        let error = client.upload(bytes(size), "lab", "new").await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::Unreachable, "{error}");
    }
}
