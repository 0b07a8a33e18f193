//! Downloads from presigned and plain URLs: in parts where the server knows ranges, pinned, and resumed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::lab::{Bench, KIB, sdk, small};
use crate::wire::{self, Http};
use aws_sdk_s3::presigning::PresigningConfig;
use s3lab::{Fault, FaultKind, FaultPlan, Lab, NetworkProfile, Requests, Server};
use s3xfer::{Client, DownloadUrl, Integrity, NotValidated, TransferErrorKind};

const SIZE: u64 = 80 * KIB;

async fn presigned(sdk: &aws_sdk_s3::Client) -> DownloadUrl {
    let expires = PresigningConfig::expires_in(Duration::from_secs(600)).unwrap();
    let request = sdk.get_object().bucket("lab").key("key").presigned(expires).await.unwrap();
    request.uri().parse().unwrap()
}

/// A client that may not read the object by itself.
fn stranger(bench: &Bench) -> Client {
    Client::new(sdk(&bench.lab, "nobody", "nothing")).with_config(small().build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_presigned_url_is_fetched_in_parts_by_whoever_has_it() {
    let bench = Bench::new(SIZE);
    let url = presigned(&sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key())).await;
    let client = stranger(&bench);
    let denied = client.download("lab", "key").discard().await.unwrap_err();
    assert_eq!(denied.kind(), TransferErrorKind::Denied, "{denied}");
    let report = client.download_url(&url).to_file(bench.target()).await.unwrap();
    bench.assert_whole();
    assert_eq!((report.bytes, report.parts, report.requests), (SIZE, 10, 10));
    assert_eq!(report.integrity, Integrity::NotValidated(NotValidated::NoChecksum));
}

#[tokio::test]
async fn a_url_is_fetched_over_sockets_by_either_client() {
    let lab = Lab::builder().bucket("lab").synthetic("lab", "key", SIZE).build().unwrap();
    let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = presigned(&wire::sdk(&server.endpoint(), Some((lab.access_key(), lab.secret_key())), Http::Ours)).await;
    for http in Http::BOTH {
        for keys in [None, Some(("nobody", "nothing"))] {
            let client = Client::new(wire::sdk("http://127.0.0.1:1", keys, http));
            let client = client.with_config(small().build().unwrap());
            let (bytes, report) = client.download_url(&url).to_bytes().await.unwrap();
            lab.synthetic_object("lab", "key").unwrap().verify(0, &bytes).unwrap();
            assert_eq!((bytes.len() as u64, report.parts), (SIZE, 10));
        }
    }
}

/// The head of the first request that is sent there, which has the `answer`.
fn one_request(listener: TcpListener, answer: &'static str) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut head, mut bytes) = (Vec::new(), [0; 4096]);
        while !head.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut bytes).unwrap();
            head.extend_from_slice(&bytes[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_s3s_own_is_sent_to_a_url() {
    for http in Http::BOTH {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url: DownloadUrl = format!("http://{}/a%20b?c=d&e", listener.local_addr().unwrap()).parse().unwrap();
        let head = one_request(listener, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\netag: \"e\"\r\n\r\nok");
        let client = Client::new(wire::sdk("http://127.0.0.1:1", Some(("somebody", "secret")), http));
        let (bytes, _) = client.download_url(&url).to_bytes().await.unwrap();
        assert_eq!(&bytes[..], b"ok");
        let head = head.join().unwrap();
        assert!(head.starts_with("get /a%20b?c=d&e http/1.1\r\n"), "{head}");
        let names: Vec<&str> = head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
        assert!(names.contains(&"range") && names.contains(&"host"), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("amz") || *name == "authorization"), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_elsewhere_is_an_error_that_names_the_place_without_its_query() {
    // The status, the answer's headers, and the place that the error names.
    let answers = [
        ("302", "HTTP/1.1 302 Found\r\nlocation: https://cdn.example/a/b?sig=secret\r\n", "https://cdn.example/a/b,"),
        ("308", "HTTP/1.1 308 Permanent Redirect\r\nlocation: /c/d?sig=secret\r\n", "/c/d,"),
        ("307", "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://me:secret@h/a\r\n", "another address,"),
        // As S3 says it of a bucket; nobody can sign the URL anew.
        (
            "301",
            "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-west-1\r\nlocation: https://b.s3.example/k\r\n",
            "https://b.s3.example/k,",
        ),
        ("301", "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-west-1\r\n", "HTTP 301"),
    ];
    for http in Http::BOTH {
        for (status, headers, place) in answers {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url: DownloadUrl = format!("http://{}/a?sig=secret", listener.local_addr().unwrap()).parse().unwrap();
            let whole = format!("{headers}content-length: 0\r\n\r\n");
            let head = one_request(listener, whole.leak());
            let client = Client::new(wire::sdk("http://127.0.0.1:1", None, http));
            let error = client.download_url(&url).to_bytes().await.unwrap_err();
            head.join().unwrap();
            let told = format!("{error}");
            assert!(told.contains(status) && told.contains(place) && !told.contains("secret"), "{told}");
            assert_eq!(error.kind(), TransferErrorKind::Refused, "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_from_a_url_goes_on_where_it_stopped_and_sees_another_version() {
    let fault = Fault::new("key", Requests::At(5), FaultKind::Reset { after_bytes: 10 });
    let network = NetworkProfile::unlimited().with_connection_mb_per_s(Some(0.2)).unwrap();
    let plan = FaultPlan::new([fault]).unwrap();
    let bench = Bench::with(SIZE, |lab| lab.faults(plan).network(network));
    let url = presigned(&sdk(&bench.lab, bench.lab.access_key(), bench.lab.secret_key())).await;
    let config = small().num_download_attempts(1).max_concurrency(1).build().unwrap();
    let client = stranger(&bench).with_config(config);
    let download = || client.download_url(&url).to_file(bench.target()).resume(true);
    download().await.unwrap_err();
    let names = bench.files();
    for name in &names {
        let text = std::fs::read(bench.folder.path().join(name)).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains("X-Amz"), "{name}");
    }
    assert!(names.len() > 1, "{names:?}");
    let report = download().await.unwrap();
    assert!(report.resumed_bytes >= 3 * 8 * KIB, "{report:?}");
    bench.assert_whole();
}
