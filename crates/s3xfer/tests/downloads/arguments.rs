//! Any text in buckets, keys, versions and owners: exact bytes or a typed error, never a panic, and no request that
//! cannot be right.

use crate::lab::{Bench, sdk};
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use proptest::prelude::*;
use s3lab::{Lab, SyntheticObject};
use s3xfer::{Client, TransferError, TransferErrorKind};

const SIZE: u64 = 1000;

/// A key of as many bytes as S3 allows, and one more.
#[tokio::test(start_paused = true)]
async fn a_key_has_at_most_1024_bytes() {
    let bench = Bench::with(SIZE, |lab| lab.synthetic("lab", "k".repeat(1024), SIZE));
    let sent = || bench.lab.requests().len();
    bench.client.download("lab", "k".repeat(1024)).discard().await.unwrap();
    let before = sent();
    // Bytes, not letters.
    for key in ["k".repeat(1025), "ä".repeat(513), "k".repeat(65 << 10), "k".repeat(10 << 20), String::new()] {
        let error = bench.client.download("lab", &key).discard().await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotSent, "{error}");
        assert!(format!("{error}").len() < 2000, "as long as the key");
    }
    assert_eq!(sent(), before, "nothing was asked");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_names_that_cannot_be() {
    let bench = Bench::new(SIZE);
    let long = "x".repeat(65 << 10);
    let download = |bucket: &str| bench.client.download(bucket, "key");
    for wrong in [
        download(""),
        download(&long),
        download("lab").version_id(""),
        download("lab").version_id(&long),
        download("lab").version_id("x".repeat(1025)),
        download("lab").expected_bucket_owner(""),
        download("lab").expected_bucket_owner(&long),
        download("lab").expected_bucket_owner("1\n2"),
        download("lab").expected_bucket_owner("1\r\nx-amz-request-payer: requester"),
        download("lab").expected_bucket_owner("zwölf"),
    ] {
        let error = wrong.discard().await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::NotSent, "{error:?}");
    }
    assert_eq!(bench.lab.requests(), []);
}

/// Texts that callers may pass by mistake or malice: any letters, names that nearly are right, and very long ones.
fn word() -> impl Strategy<Value = String> {
    let odd = [
        "", ".", "..", "/", "//", "a/../b", "%2e%2e", "?x=1", "#", "\0", "\r\n", " ", "\u{feff}", "a b", "-", "_", "--",
    ];
    let arn = [
        "arn:aws:s3:us-east-1:123456789012:accesspoint/x",
        "arn:aws:s3:::lab",
        "arn:",
        "arn:aws:s3-outposts:a:b:c",
        "x--x-s3",
    ];
    prop_oneof![
        any::<String>(),
        "\\PC{0,40}",
        "[a-zA-Z0-9._/-]{1,80}",
        prop::sample::select([odd.as_slice(), arn.as_slice()].concat()).prop_map(str::to_owned),
        (any::<char>(), 0..70_000_usize).prop_map(|(letter, length)| letter.to_string().repeat(length)),
    ]
}

fn clients(lab: &Lab) -> [Client; 3] {
    let plain = |endpoint: Option<&str>, by_path: bool| {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .force_path_style(by_path)
            .region(Region::new(lab.region().to_owned()))
            .credentials_provider(Credentials::new(lab.access_key(), lab.secret_key(), None, None, "test"))
            .http_client(lab.http_client());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        Client::new(aws_sdk_s3::Client::from_conf(config.build()))
    };
    let by_path = Client::new(sdk(lab, lab.access_key(), lab.secret_key()));
    [by_path, plain(Some(Lab::ENDPOINT), false), plain(None, false)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_string_makes_a_download_panic(
        bucket in prop_oneof![Just("lab".to_owned()), word()],
        key in prop_oneof![Just("key".to_owned()), word()],
        version in prop::option::weighted(0.3, word()),
        owner in prop::option::weighted(0.3, word()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let lab = Lab::builder().bucket("lab").synthetic("lab", "key", SIZE).build().unwrap();
            for client in clients(&lab) {
                let mut download = client.download(&bucket, &key);
                if let Some(version) = &version {
                    download = download.version_id(version);
                }
                if let Some(owner) = &owner {
                    download = download.expected_bucket_owner(owner);
                }
                match download.to_bytes().await {
                    Ok((bytes, _)) => SyntheticObject::named("lab", "key", SIZE).verify(0, &bytes).unwrap(),
                    Err(TransferError::Refused { .. } | TransferError::Request { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
}
