//! The in-process face, in paused time: every fault, the network's delays and rates, and S3's answers, with aws-sdk-s3.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective,
    ObjectIdentifier, ServerSideEncryption, StorageClass,
};
use s3lab::{Fault, FaultKind, FaultPlan, Lab, LabBuilder, NetworkProfile, RequestKind, Requests, SyntheticObject};
use tokio::time::Instant;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SIZE: u64 = 300_000;

fn client(lab: &Lab) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(Lab::ENDPOINT)
        .force_path_style(true)
        .region(Region::new(lab.region().to_owned()))
        .credentials_provider(Credentials::new(lab.access_key(), lab.secret_key(), None, None, "s3lab"))
        .retry_config(RetryConfig::disabled())
        .http_client(lab.http_client())
        .build();
    Client::from_conf(config)
}

fn builder() -> LabBuilder {
    Lab::builder().bucket("lab").synthetic("lab", "big", SIZE)
}

/// A lab where `kind` meets the second GET of `big`.
fn faulty(kind: FaultKind) -> Result<Lab, Box<dyn std::error::Error>> {
    Ok(builder().faults(FaultPlan::none().and("big", Requests::At(1), kind)?).build()?)
}

/// Status and code of a refused request.
macro_rules! refused {
    ($call:expr) => {{
        let error = $call.send().await.unwrap_err();
        let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
        let code = aws_sdk_s3::error::ProvideErrorMetadata::code(&error).unwrap_or("").to_owned();
        (status, code)
    }};
}

/// The bytes that came, and whether the body ended well.
async fn read(mut body: ByteStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match body.try_next().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => return (bytes, true),
            Err(_) => return (bytes, false),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_meets_its_request_and_no_other() -> Outcome {
    let lab = faulty(FaultKind::SlowDown)?;
    let get = client(&lab).get_object().bucket("lab").key("big");
    get.clone().send().await?.body.collect().await?;
    assert_eq!(refused!(get.clone()), (503, "SlowDown".to_owned()));
    get.send().await?.body.collect().await?;
    let statuses: Vec<_> = lab.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(200), Some(503), Some(200)]);
    assert_eq!((lab.stats().slow_downs, lab.stats().faults), (1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_internal_error_is_500() -> Outcome {
    let lab = faulty(FaultKind::InternalError)?;
    let get = client(&lab).get_object().bucket("lab").key("big");
    get.clone().send().await?;
    assert_eq!(refused!(get), (500, "InternalError".to_owned()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn broken_bodies_give_the_bytes_before_the_break() -> Outcome {
    for kind in [FaultKind::Reset { after_bytes: 70_001 }, FaultKind::Truncate { after_bytes: 70_001 }] {
        let lab = faulty(kind)?;
        let get = client(&lab).get_object().bucket("lab").key("big");
        get.clone().send().await?.body.collect().await?;
        let answer = get.send().await?;
        assert_eq!(answer.content_length(), Some(SIZE as i64));
        let (bytes, whole) = read(answer.body).await;
        assert_eq!((bytes.len(), whole), (70_001, false));
        SyntheticObject::named("lab", "big", SIZE).verify(0, &bytes)?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_broke_is_not_used_again() -> Outcome {
    let lab = faulty(FaultKind::Reset { after_bytes: 10 })?;
    let get = client(&lab).get_object().bucket("lab").key("big");
    for _ in 0..3 {
        let _ = read(get.clone().send().await?.body).await;
    }
    assert_eq!(lab.stats().connections_opened, 2);
    assert_eq!((lab.stats().in_flight, lab.stats().connections_open), (0, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_short_length_still_claims_the_range_that_was_asked_for() -> Outcome {
    let lab = faulty(FaultKind::ShortLength { length: 7 })?;
    let get = client(&lab).get_object().bucket("lab").key("big").range("bytes=100-199");
    get.clone().send().await?.body.collect().await?;
    let answer = get.send().await?;
    assert_eq!((answer.content_length(), answer.content_range()), (Some(7), Some("bytes 100-199/300000")));
    assert_eq!(read(answer.body).await.0.len(), 7);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stall_lasts_as_long_as_planned_or_for_ever() -> Outcome {
    let minute = Duration::from_secs(60);
    let lab = faulty(FaultKind::Stall { after_bytes: 1000, duration: Some(minute) })?;
    let config = client(&lab).config().to_builder();
    let no_guard = aws_sdk_s3::config::StalledStreamProtectionConfig::disabled();
    let get = Client::from_conf(config.stalled_stream_protection(no_guard.clone()).build());
    let get = get.get_object().bucket("lab").key("big");
    get.clone().send().await?.body.collect().await?;
    let started = Instant::now();
    let (bytes, whole) = read(get.send().await?.body).await;
    assert_eq!((bytes.len() as u64, whole), (SIZE, true));
    assert!((60..61).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());

    let lab = faulty(FaultKind::Stall { after_bytes: 1000, duration: None })?;
    let config = client(&lab).config().to_builder().stalled_stream_protection(no_guard);
    let get = Client::from_conf(config.build()).get_object().bucket("lab").key("big");
    get.clone().send().await?.body.collect().await?;
    let mut body = get.send().await?.body;
    assert_eq!(body.try_next().await?.map(|piece| piece.len()), Some(1000));
    assert!(tokio::time::timeout(Duration::from_secs(100_000), body.try_next()).await.is_err());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_takes_its_time() -> Outcome {
    let lab = faulty(FaultKind::Slow { bytes_per_s: 100_000 })?;
    let get = client(&lab).get_object().bucket("lab").key("big");
    get.clone().send().await?.body.collect().await?;
    let started = Instant::now();
    get.send().await?.body.collect().await?;
    let seconds = started.elapsed().as_secs_f64();
    assert!((seconds - 3.0).abs() < 0.1, "{seconds}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn content_range_can_be_wrong_or_missing_and_the_range_ignored() -> Outcome {
    for (kind, range, length) in [
        (FaultKind::ContentRange { value: Some("bytes 0-9/10".into()) }, Some("bytes 0-9/10"), 10),
        (FaultKind::ContentRange { value: None }, None, 10),
        (FaultKind::IgnoreRange, None, SIZE as i64),
    ] {
        let lab = faulty(kind)?;
        let get = client(&lab).get_object().bucket("lab").key("big").range("bytes=50-59");
        assert_eq!(get.clone().send().await?.content_range(), Some("bytes 50-59/300000"));
        let answer = get.send().await?;
        assert_eq!((answer.content_range(), answer.content_length()), (range, Some(length)));
        let ignored = length == SIZE as i64;
        assert_eq!(lab.requests()[1].status, Some(if ignored { 200 } else { 206 }));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_byte_is_corrupt_where_planned() -> Outcome {
    let lab = faulty(FaultKind::Corrupt { at: 1234 })?;
    let get = client(&lab).get_object().bucket("lab").key("big").range("bytes=1000-1999");
    let object = SyntheticObject::named("lab", "big", SIZE);
    object.verify(1000, &get.clone().send().await?.body.collect().await?.to_vec())?;
    let bytes = get.send().await?.body.collect().await?.to_vec();
    assert_eq!(object.verify(1000, &bytes).unwrap_err().offset, 1234);
    object.verify(1235, &bytes[235..])?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_replaced_object_has_another_etag_and_other_bytes() -> Outcome {
    let lab = faulty(FaultKind::Replace)?;
    let get = client(&lab).get_object().bucket("lab").key("big");
    let first = get.clone().send().await?;
    let (tag, old) = (first.e_tag().ok_or("an ETag")?.to_owned(), first.body.collect().await?.to_vec());
    assert_eq!(refused!(get.clone().if_match(&tag)).0, 412);
    let second = get.send().await?;
    assert_ne!(second.e_tag(), Some(tag.as_str()));
    let new = second.body.collect().await?.to_vec();
    assert_eq!(new.len(), old.len());
    assert_ne!(new, old);
    lab.synthetic_object("lab", "big").ok_or("still synthetic")?.verify(0, &new)?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn time_is_the_profiles_and_the_same_every_run() -> Outcome {
    let profile = NetworkProfile::unlimited()
        .with_first_byte(50.0, 0.3)?
        .with_connect_ms(200.0)?
        .with_connection_mb_per_s(Some(1.0))?;
    let mut took = Vec::new();
    for _ in 0..2 {
        let lab = builder().network(profile.clone()).build()?;
        let get = client(&lab).get_object().bucket("lab").key("big");
        let started = Instant::now();
        get.clone().send().await?.body.collect().await?;
        let first = started.elapsed();
        get.send().await?.body.collect().await?;
        took.push((first, started.elapsed() - first));
        assert_eq!(lab.stats().connections_opened, 1);
    }
    assert_eq!(took[0], took[1]);
    // 0.3 s of body and about 0.05 s to the first byte; the first request paid 0.2 s for its connection.
    let (first, second) = (took[0].0.as_secs_f64(), took[0].1.as_secs_f64());
    assert!((0.52..0.65).contains(&first) && (0.32..0.45).contains(&second), "{first} {second}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn connections_share_the_link_in_both_directions() -> Outcome {
    let profile = NetworkProfile::unlimited().with_link_mb_per_s(Some(10.0))?;
    let lab = Lab::builder().bucket("lab").synthetic("lab", "big", 1_000_000).network(profile).build()?;
    let client = client(&lab);
    let started = Instant::now();
    let gets = (0..10).map(|_| async {
        client.get_object().bucket("lab").key("big").send().await?.body.collect().await.map_err(Box::from)
            as Result<_, Box<dyn std::error::Error>>
    });
    futures::future::try_join_all(gets).await?;
    let down = started.elapsed().as_secs_f64();
    assert!((down - 1.0).abs() < 0.05, "{down}");
    let started = Instant::now();
    let puts =
        (0..10).map(|i| client.put_object().bucket("lab").key(format!("up{i}")).body(vec![i; 1_000_000].into()).send());
    futures::future::try_join_all(puts).await?;
    let up = started.elapsed().as_secs_f64();
    assert!((up - 1.0).abs() < 0.05, "{up}");
    assert_eq!((lab.stats().connections_opened, lab.stats().max_in_flight), (10, 10));
    assert_eq!(lab.stats().bytes_out / 1_000_000, 10);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_rate_are_slowed_down() -> Outcome {
    let lab = builder().network(NetworkProfile::unlimited().with_requests_per_s(Some(10.0))?).build()?;
    let head = client(&lab).head_object().bucket("lab").key("big");
    head.clone().send().await?;
    assert_eq!(refused!(head.clone()).0, 503);
    tokio::time::sleep(Duration::from_millis(100)).await;
    head.send().await?;
    assert_eq!(lab.stats().count(RequestKind::HeadObject), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_clients_timeouts_pass_in_the_same_time() -> Outcome {
    use aws_sdk_s3::config::timeout::TimeoutConfig;
    let profile = NetworkProfile::unlimited().with_first_byte(5000.0, 0.0)?.with_connect_ms(3000.0)?;
    let lab = builder().network(profile).build()?;
    for (timeouts, limit) in [
        (TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)), 1.0),
        (TimeoutConfig::builder().connect_timeout(Duration::from_secs(9)).read_timeout(Duration::from_secs(2)), 5.0),
    ] {
        let config = client(&lab).config().to_builder().timeout_config(timeouts.build()).build();
        let started = Instant::now();
        let error = Client::from_conf(config).head_object().bucket("lab").key("big").send().await.unwrap_err();
        assert!(format!("{error:?}").contains("imeout"), "{error:?}");
        assert!((started.elapsed().as_secs_f64() - limit).abs() < 0.01, "{:?}", started.elapsed());
    }
    assert_eq!(lab.stats().in_flight, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn checksums_go_in_and_come_out() -> Outcome {
    let lab = builder().build()?;
    let client = client(&lab);
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let put = client.put_object().bucket("lab").key("k").checksum_algorithm(algorithm.clone());
        put.body(ByteStream::from_static(b"hello")).metadata("a", "b").send().await?;
        // The SDK checks the answer's checksum itself, and fails the body where it differs.
        let answer = client.get_object().bucket("lab").key("k").checksum_mode(ChecksumMode::Enabled).send().await?;
        let sums = [
            answer.checksum_crc32(),
            answer.checksum_crc32_c(),
            answer.checksum_crc64_nvme(),
            answer.checksum_sha1(),
            answer.checksum_sha256(),
        ];
        assert_eq!(sums.iter().flatten().count(), 1, "{algorithm:?}");
        assert_eq!(answer.metadata().and_then(|m| m.get("a")).map(String::as_str), Some("b"));
        assert_eq!(answer.body.collect().await?.into_bytes(), "hello");
        let ranged = client.get_object().bucket("lab").key("k").range("bytes=0-1").checksum_mode(ChecksumMode::Enabled);
        assert_eq!(ranged.send().await?.checksum_type(), None);
    }
    let bad =
        client.put_object().bucket("lab").key("bad").checksum_crc32("AAAAAA==").body(ByteStream::from_static(b"x"));
    assert_eq!(refused!(bad), (400, "BadDigest".to_owned()));
    assert_eq!(lab.object("lab", "bad"), None);
    let synthetic = client.get_object().bucket("lab").key("big").checksum_mode(ChecksumMode::Enabled).send().await?;
    assert!(synthetic.checksum_crc64_nvme().is_some());
    assert_eq!(synthetic.body.collect().await?.to_vec().len() as u64, SIZE);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_multipart_upload_becomes_one_object_with_parts() -> Outcome {
    let lab = builder().min_part_size(10).build()?;
    let client = client(&lab);
    let create = client.create_multipart_upload().bucket("lab").key("mp").checksum_algorithm(ChecksumAlgorithm::Crc32);
    let id = create.send().await?.upload_id().ok_or("an id")?.to_owned();
    let mut parts = Vec::new();
    for (number, bytes) in [(1, &b"0123456789"[..]), (2, b"abcdefghij"), (3, b"xyz")] {
        let put = client.upload_part().bucket("lab").key("mp").upload_id(&id).part_number(number);
        let put = put.checksum_algorithm(ChecksumAlgorithm::Crc32).body(ByteStream::from_static(bytes)).send().await?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(put.e_tag().map(str::to_owned));
        parts.push(part.set_checksum_crc32(put.checksum_crc32().map(str::to_owned)).build());
    }
    assert_eq!(lab.uploads("lab"), std::slice::from_ref(&id));
    let done = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = client.complete_multipart_upload().bucket("lab").key("mp").upload_id(&id).multipart_upload(done);
    let done = complete.clone().send().await?;
    assert!(done.e_tag().is_some_and(|tag| tag.ends_with("-3\"")));
    assert!(done.checksum_crc32().is_some_and(|sum| sum.ends_with("-3")));
    let part = client.get_object().bucket("lab").key("mp").part_number(2).send().await?;
    assert_eq!((part.content_range(), part.parts_count()), (Some("bytes 10-19/23"), Some(3)));
    assert_eq!(part.body.collect().await?.into_bytes(), "abcdefghij");
    assert_eq!(lab.object("lab", "mp").as_deref(), Some(&b"0123456789abcdefghijxyz"[..]));
    assert_eq!(refused!(complete).0, 404);
    // A copy is stored in one piece, and its ETag and checksum are of all its bytes.
    let copy = client.copy_object().bucket("lab").key("copy").copy_source("lab/mp").send().await?;
    let result = copy.copy_object_result().ok_or("a result")?;
    assert_eq!(result.e_tag(), Some("\"870c63fecbda1ff4e8f43894b2980be8\""));
    assert_eq!(result.checksum_crc32(), Some("jbJ2LQ=="));
    let head = client.head_object().bucket("lab").key("copy").part_number(1).send().await?;
    assert_eq!((head.e_tag(), head.parts_count(), head.content_length()), (result.e_tag(), None, Some(23)));
    assert_eq!(lab.object("lab", "copy"), lab.object("lab", "mp"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_synthetic_object_has_the_md5_of_its_bytes_unless_it_is_huge() -> Outcome {
    let lab = builder().synthetic("lab", "huge", 5 << 30).synthetic("lab", "too large", (5 << 30) + 1).build()?;
    let client = client(&lab);
    let copy = client.copy_object().bucket("lab").key("copy").copy_source("lab/too%20large");
    assert_eq!(refused!(copy), (400, "InvalidRequest".to_owned()));
    for (source, alike) in [("big", false), ("huge", true)] {
        let from = client.head_object().bucket("lab").key(source).send().await?;
        let copy = client.copy_object().bucket("lab").key("copy").copy_source(format!("lab/{source}"));
        let copied = copy.send().await?.copy_object_result().and_then(|result| result.e_tag().map(str::to_owned));
        assert_eq!(copied.as_deref() == from.e_tag(), alike, "{source}");
        assert_eq!(copied.is_some_and(|tag| tag.contains('-')), alike, "{source}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_part_has_the_checksum_of_its_upload_and_no_other() -> Outcome {
    let lab = builder().min_part_size(1).build()?;
    // Without a checksum of the SDK's own.
    let config = client(&lab).config().to_builder();
    let config = config.request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired);
    let client = Client::from_conf(config.build());
    let (crc32, crc64) = (ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc64Nvme);
    for (named, given, fits) in [
        (Some(&crc32), Some(&crc32), true),
        (Some(&crc32), None, false),
        (Some(&crc32), Some(&crc64), false),
        (Some(&crc64), None, true),
        (Some(&crc64), Some(&crc32), false),
        (None, None, true),
    ] {
        let create = client.create_multipart_upload().bucket("lab").key("mp").set_checksum_algorithm(named.cloned());
        let id = create.send().await?.upload_id().ok_or("an id")?.to_owned();
        let put = client.upload_part().bucket("lab").key("mp").upload_id(&id).part_number(1);
        let put = put.set_checksum_crc32(given.filter(|given| **given == crc32).map(|_| "jNwWgw==".to_owned()));
        let put =
            put.set_checksum_crc64_nvme(given.filter(|given| **given == crc64).map(|_| "Lb1nAmRU5LE=".to_owned()));
        let put = put.body(ByteStream::from_static(b"x"));
        match fits {
            true => drop(put.send().await?),
            false => assert_eq!(refused!(put), (400, "InvalidRequest".to_owned()), "{named:?} {given:?}"),
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_part_is_listed_with_its_etag() -> Outcome {
    let lab = builder().min_part_size(1).build()?;
    let client = client(&lab);
    let create = client.create_multipart_upload().bucket("lab").key("mp").send().await?;
    let id = create.upload_id().ok_or("an id")?;
    let put = client.upload_part().bucket("lab").key("mp").upload_id(id).part_number(1);
    put.body(ByteStream::from_static(b"x")).send().await?;
    let parts = CompletedMultipartUpload::builder().parts(CompletedPart::builder().part_number(1).build()).build();
    let complete = client.complete_multipart_upload().bucket("lab").key("mp").upload_id(id).multipart_upload(parts);
    assert_eq!(refused!(complete), (400, "MalformedXML".to_owned()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_copy_onto_itself_changes_something() -> Outcome {
    let lab = builder().build()?;
    let client = client(&lab);
    let copy = client.copy_object().bucket("lab").key("big").copy_source("lab/big");
    assert_eq!(refused!(copy.clone()), (400, "InvalidRequest".to_owned()));
    copy.clone().storage_class(StorageClass::StandardIa).send().await?;
    copy.clone().server_side_encryption(ServerSideEncryption::Aes256).send().await?;
    copy.metadata_directive(MetadataDirective::Replace).send().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_name_that_xml_cannot_carry_spoils_a_deletion_of_many() -> Outcome {
    let lab = builder().build()?;
    let client = client(&lab);
    let named = |key: &str| ObjectIdentifier::builder().key(key).build();
    let both = Delete::builder().objects(named("big")?).objects(named("a\u{1}")?).build()?;
    assert_eq!(refused!(client.delete_objects().bucket("lab").delete(both)), (400, "MalformedXML".to_owned()));
    assert!(lab.object("lab", "big").is_some());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_may_come_in_a_success() -> Outcome {
    let kind = FaultKind::ErrorInSuccess { code: "SlowDown".to_owned() };
    let fault = Fault::new("copy", Requests::At(0), kind).on(RequestKind::CopyObject);
    let lab = builder().faults(FaultPlan::new([fault])?).build()?;
    let copy = client(&lab).copy_object().bucket("lab").key("copy").copy_source("lab/big");
    assert_eq!(refused!(copy.clone()), (200, "SlowDown".to_owned()));
    assert_eq!(lab.object("lab", "copy"), None);
    copy.send().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_range_that_is_none_or_several_gets_the_whole_object() -> Outcome {
    let lab = builder().build()?;
    let client = client(&lab);
    for range in ["bytes=0-1,3-4", "bytes=abc", "bytes=4-2", "items=0-1"] {
        let whole = client.get_object().bucket("lab").key("big").range(range).send().await?;
        assert_eq!((whole.content_range(), whole.content_length()), (None, Some(SIZE as i64)), "{range}");
        SyntheticObject::named("lab", "big", SIZE).verify(0, &whole.body.collect().await?.into_bytes())?;
        let head = client.head_object().bucket("lab").key("big").range(range).send().await?;
        assert_eq!((head.content_range(), head.content_length()), (None, Some(SIZE as i64)), "{range}");
        assert_eq!(refused!(client.get_object().bucket("lab").key("none").range(range)), (404, "NoSuchKey".to_owned()));
    }
    let tail = client.get_object().bucket("lab").key("big").range("bytes=7-99999999999999999999999").send().await?;
    assert_eq!(tail.content_range(), Some("bytes 7-299999/300000"));
    let beyond = client.get_object().bucket("lab").key("big").range("bytes=99999999999999999999999-");
    assert_eq!(refused!(beyond), (416, "InvalidRange".to_owned()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_fault_meets_a_request_whose_range_is_ignored() -> Outcome {
    let lab = faulty(FaultKind::Truncate { after_bytes: 100 })?;
    let get = client(&lab).get_object().bucket("lab").key("big").range("bytes=0-1,3-4");
    assert_eq!(read(get.clone().send().await?.body).await.0.len() as u64, SIZE);
    let (bytes, whole) = read(get.send().await?.body).await;
    assert_eq!((bytes.len(), whole), (100, false));
    assert_eq!(lab.stats().faults, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn conditions_are_kept_with_and_without_a_range() -> Outcome {
    let lab = builder().build()?;
    let client = client(&lab);
    let tag = client.head_object().bucket("lab").key("big").send().await?.e_tag().ok_or("an ETag")?.to_owned();
    let get = client.get_object().bucket("lab").key("big");
    for get in [get.clone(), get.range("bytes=0-9")] {
        get.clone().if_match(&tag).send().await?;
        assert_eq!(refused!(get.clone().if_match("\"other\"")), (412, "PreconditionFailed".to_owned()));
        assert_eq!(refused!(get.clone().if_none_match(&tag)).0, 304);
        get.if_none_match("\"other\"").send().await?;
    }
    let put = || client.put_object().bucket("lab").key("big").body(ByteStream::from_static(b"x"));
    assert_eq!(refused!(put().if_none_match("*")).0, 412);
    assert_eq!(refused!(put().if_match("\"other\"")).0, 412);
    assert_eq!(refused!(put().if_none_match("\"other\"")), (501, "NotImplemented".to_owned()));
    put().if_match(&tag).send().await?;
    assert_eq!(lab.object("lab", "big").as_deref(), Some(&b"x"[..]));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_and_unsigned_requests_are_refused() -> Outcome {
    for anonymous in [false, true] {
        let lab = builder().allow_anonymous(anonymous).build()?;
        let config = client(&lab).config().to_builder();
        let wrong =
            config.clone().credentials_provider(Credentials::new(lab.access_key(), "wrong", None, None, "test"));
        let wrong = Client::from_conf(wrong.build());
        for range in [None, Some("bytes=0-1,3-4".to_owned())] {
            let get = wrong.get_object().bucket("lab").key("big").set_range(range);
            assert_eq!(refused!(get), (403, "SignatureDoesNotMatch".to_owned()));
        }
        let unknown = config.credentials_provider(Credentials::new("unknown", lab.secret_key(), None, None, "test"));
        let unknown = Client::from_conf(unknown.build());
        assert_eq!(refused!(unknown.get_object().bucket("lab").key("big")), (403, "InvalidAccessKeyId".to_owned()));
        let unsigned = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(Lab::ENDPOINT)
            .force_path_style(true)
            .region(Region::from_static("us-east-1"))
            .allow_no_auth()
            .http_client(lab.http_client());
        let get = Client::from_conf(unsigned.build()).get_object().bucket("lab").key("big");
        assert_eq!(get.clone().send().await.is_ok(), anonymous);
        assert_eq!(get.range("bytes=0-1,3-4").send().await.is_ok(), anonymous);
    }
    Ok(())
}
