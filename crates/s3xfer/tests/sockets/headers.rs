//! The headers of requests with options.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use crate::wire::{Http, sdk};
use s3xfer::{Client, SseCustomerKey, TransferConfig, TransferErrorKind};

#[tokio::test]
async fn versions_payers_owners_and_keys_go_with_every_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head: Vec<String> =
            BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
        head
    });
    let config = TransferConfig::builder().validate_checksum(false).build().unwrap();
    let client = Client::new(sdk(&endpoint, Some(("access", "sesame")), Http::Ours)).with_config(config);
    let download = client
        .download("b", "k")
        .version_id("v/1")
        .request_payer()
        .expected_bucket_owner("123456789012")
        .sse_customer_key(SseCustomerKey::new(*b"0123456789abcdef0123456789abcdef").dangerously_allow_plaintext_http());
    assert!(!format!("{download:?}").contains("sesame"));
    let error = download.discard().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Denied, "{error}");
    let head = server.join().unwrap();
    assert!(head[0].contains("versionId=v%2F1"), "{head:?}");
    for header in [
        "x-amz-request-payer: requester",
        "x-amz-expected-bucket-owner: 123456789012",
        "x-amz-checksum-mode: ENABLED",
        "x-amz-server-side-encryption-customer-algorithm: AES256",
        // base64 of the key and of its MD5, as `openssl` has them.
        "x-amz-server-side-encryption-customer-key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "x-amz-server-side-encryption-customer-key-md5: hRasmdxgYDKV3nvbahU1MA==",
        "range: bytes=0-8388607",
    ] {
        assert!(head.iter().any(|line| line == header), "{header} is not in {head:#?}");
    }
}
