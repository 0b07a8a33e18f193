//! The environment's settings for proxies and trust. The client is a process of its own, because variables belong to a
//! process.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod wire;

use std::error::Error;
use std::io::{self, Read, Write};
use std::iter;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use s3lab::{Lab, Server};
use s3xfer::{Client, TransferConfig, TransferError, TransferErrorKind, TransferReport};
use wire::{Http, sdk};

const SIZE: u64 = 100_000;
const ENDPOINT: &str = "S3XFER_TEST_ENDPOINT";

fn lab() -> Lab {
    Lab::builder().bucket("lab").synthetic("lab", "key", SIZE).credentials("a", "s").build().unwrap()
}

/// A proxy that opens a tunnel to any host, and counts them.
fn proxy() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    // Ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || open_way(stream));
        }
    });
    (address, asked)
}

fn open_way(mut stream: TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    // The host is a name that only this proxy knows.
    let port = head.split(' ').nth(1).and_then(|host| host.rsplit(':').next()).unwrap().parse::<u16>().unwrap();
    let mut there = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut back, mut forth) = (there.try_clone()?, stream.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut back, &mut forth);
        let _ = forth.shutdown(Shutdown::Both);
    });
    io::copy(&mut stream, &mut there)?;
    there.shutdown(Shutdown::Both)
}

/// The output of a test in a process with these variables, and no other ones for proxies.
fn run_elsewhere(test: &str, endpoint: &str, variables: &[(&str, String)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    command.env_remove("AWS_CA_BUNDLE").env(ENDPOINT, endpoint).envs(variables.iter().cloned());
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[tokio::test]
#[ignore = "no test by itself: the process that `proxies_and_trust_are_settled_for_each_endpoint` starts"]
async fn a_download_to_be_run_elsewhere() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
    let client = Client::new(sdk(&endpoint, Some(("a", "s")), Http::Ours));
    show(client.download("lab", "key").discard().await);
}

#[tokio::test]
#[ignore = "no test by itself: the process that `uploads_trust_the_same_certificates` starts"]
async fn an_upload_to_be_run_elsewhere() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
    let client = Client::new(sdk(&endpoint, Some(("a", "s")), Http::Ours));
    show(client.upload(vec![7; SIZE as usize], "lab", "new").await);
}

fn show(ended: Result<TransferReport, TransferError>) {
    match ended {
        Ok(report) => println!("whole: {} bytes, {} retries", report.bytes, report.retries),
        Err(error) => {
            let chain = iter::successors(Some(&error as &dyn Error), |&error| error.source());
            println!("{:?}: {}", error.kind(), chain.map(ToString::to_string).collect::<Vec<_>>().join(": "));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_and_trust_are_settled_for_each_endpoint() {
    let lab = lab();
    let server = Server::start_tls(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let endpoint = server.endpoint();
    let mut bundle = tempfile::NamedTempFile::new().unwrap();
    bundle.write_all(server.certificate_pem().unwrap().as_bytes()).unwrap();
    let bundle = ("AWS_CA_BUNDLE", bundle.path().to_str().unwrap().to_owned());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://user:secret@{nobody}");
    let (alive, asked) = proxy();
    let whole = format!("whole: {SIZE} bytes, 0 retries");
    let elsewhere = format!("https://lab.test:{}", endpoint.rsplit(':').next().unwrap());
    for (endpoint, variables, said) in [
        (&endpoint, vec![bundle.clone()], whole.clone()),
        // No proxy is asked for this machine.
        (&endpoint, vec![bundle.clone(), ("HTTPS_PROXY", dead.clone())], whole.clone()),
        // Its certificate is for another name, which it takes a connection to see.
        (
            &elsewhere,
            vec![bundle.clone(), ("HTTPS_PROXY", format!("http://user:secret@{alive}"))],
            "certificate not valid for name \"lab.test\"".to_owned(),
        ),
        (
            &elsewhere,
            vec![bundle.clone(), ("HTTPS_PROXY", dead.clone())],
            format!("no connection to the proxy http://{nobody} (from HTTPS_PROXY)"),
        ),
        (
            &elsewhere,
            vec![bundle.clone(), ("ALL_PROXY", "socks5://user:secret@127.0.0.1:1".to_owned())],
            "NotSent: s3://lab/key: the request cannot be made: ALL_PROXY names a proxy of the kind socks5://"
                .to_owned(),
        ),
        (&endpoint, vec![], "AWS_CA_BUNDLE or SSL_CERT_FILE".to_owned()),
        (&endpoint, vec![("SSL_CERT_FILE", bundle.1.clone())], whole.clone()),
    ] {
        let output = run_elsewhere("a_download_to_be_run_elsewhere", endpoint, &variables);
        assert!(output.contains(&said), "{said}, with {variables:?}: {output}");
        assert!(!output.contains("secret"), "{output}");
    }
    assert!(asked.load(Ordering::SeqCst) > 0, "no request came by the proxy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_trust_the_same_certificates() {
    let lab = lab();
    let server = Server::start_tls(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (mut bundle, broken) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    bundle.write_all(server.certificate_pem().unwrap().as_bytes()).unwrap();
    let named = |file: &tempfile::NamedTempFile| vec![("AWS_CA_BUNDLE", file.path().to_str().unwrap().to_owned())];
    for (variables, said) in [
        (named(&bundle), format!("whole: {SIZE} bytes, 0 retries")),
        (named(&broken), "which AWS_CA_BUNDLE names, cannot be used: the file holds no certificate".to_owned()),
        (vec![], "UnknownIssuer".to_owned()),
        // No proxy is asked for this machine.
        (
            [named(&bundle), vec![("HTTPS_PROXY", "http://127.0.0.1:9".to_owned())]].concat(),
            format!("whole: {SIZE} bytes, 0 retries"),
        ),
    ] {
        let output = run_elsewhere("an_upload_to_be_run_elsewhere", &server.endpoint(), &variables);
        assert!(output.contains(&said), "{said}, with {variables:?}: {output}");
    }
    assert!(lab.object("lab", "new").is_some());
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_final_through_the_sdks_own_client_too() {
    let lab = lab();
    let server = Server::start_tls(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let own = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    let config = sdk(&server.endpoint(), Some(("a", "s")), Http::Ours).config().to_builder().http_client(own).build();
    let config = aws_sdk_s3::Client::from_conf(config);
    let quick = TransferConfig::builder().validate_checksum(false).build().unwrap();
    let error = Client::new(config).with_config(quick).download("lab", "key").discard().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NotSent, "{error:?}");
    let said = error.source().and_then(Error::source).unwrap().to_string();
    assert!(said.contains("UnknownIssuer") && said.contains("SSL_CERT_FILE"), "{said}");
}
