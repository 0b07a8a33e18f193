//! Exports, read by the programs that they are for: the values are in force there.
//!
//! A program that is not installed is skipped, and standard error says so. `S3TUNE_TEST_PYTHON` names another Python
//! than `python3`.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use s3lab::{Lab, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// 61 requests of 7 MiB and 1 byte.
fn configuration() -> Value {
    json!({
        "multipart_threshold": 4 * MIB, "max_concurrency": 61, "multipart_chunksize": 7 * MIB + 1,
        "num_download_attempts": 7, "max_io_queue": 10, "io_chunksize": 398_803, "use_threads": true,
        "max_bandwidth": 900 * MIB, "adaptive_concurrency": false
    })
}

/// A run's folder with s3xfer's parameters and [`configuration`] as the recommendation.
fn run_folder() -> TempDir {
    let knob = |name: &str| json!({"name": name, "default": null, "boto3": name});
    let names = ["multipart_threshold", "max_concurrency", "multipart_chunksize", "num_download_attempts"];
    let more = ["max_io_queue", "io_chunksize", "use_threads", "max_bandwidth"];
    let config = configuration();
    let run = json!({
        "schema": 2, "object": "s3://b/k\n[default]", "object_bytes": 268_435_456, "network": "same-region",
        "engine": "s3xfer", "knobs": names.into_iter().chain(more).map(knob).collect::<Value>()
    });
    let measured = |mean: f64, config: &Value| json!({"config": config, "mean": mean, "n": 6});
    let summary = json!({
        "schema": 2, "recommended": "best", "best": measured(0.8, &config),
        "engine_default": measured(1.2, &json!({"max_concurrency": 32})),
        "versus_engine_default": {"improvement": 0.333, "ci95": [0.3, 0.36]}
    });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("run.json"), run.to_string()).unwrap();
    fs::write(folder.path().join("summary.json"), summary.to_string()).unwrap();
    folder
}

fn s3tune(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_s3tune")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The output of `s3tune export`, in a file of that name.
fn export(folder: &Path, format: &str) -> String {
    let output = s3tune(&["export", folder.to_str().unwrap(), "--format", format]);
    assert_eq!(output.status.code(), Some(0), "{format}: {}", text(output.stderr));
    let told = text(output.stderr);
    // Only formats without comments tell them apart.
    assert_eq!(told.is_empty(), !["json", "s3fs", "fsspec"].contains(&format), "{format}: {told}");
    let printed = text(output.stdout);
    fs::write(folder.join(format), &printed).unwrap();
    printed
}

/// A program without this machine's variables for AWS and rclone.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if ["AWS_", "RCLONE_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("RCLONE_CONFIG", "/dev/null").stdin(Stdio::null());
    command
}

/// The output of a program that succeeds.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(output.stderr));
    text(output.stdout)
}

fn there(program: &str, probe: &[&str]) -> bool {
    let ended = clean(program).args(probe).output();
    let there = ended.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: {program} {} does not work here", probe.join(" "));
    }
    there
}

fn python_name() -> String {
    std::env::var("S3TUNE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// The JSON that a script prints; none where a module is missing.
fn python(modules: &str, script: &str, environment: &BTreeMap<String, String>, arguments: &[&Path]) -> Option<Value> {
    let python = python_name();
    if !there(&python, &["-c", &format!("import {modules}")]) {
        return None;
    }
    let line = printed(clean(&python).args(["-c", script]).args(arguments).envs(environment));
    Some(serde_json::from_str(&line).unwrap())
}

/// The variables that a shell exports after it has read the file, of those that begin with `prefix`.
fn exported_variables(file: &Path, prefix: &str) -> BTreeMap<String, String> {
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().args(["-c", ". \"$1\" && /usr/bin/env", "sh"]).arg(file);
    let pairs = text(shell.output().unwrap().stdout);
    let pairs = pairs.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| name.starts_with(prefix));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn boto3_takes_the_configuration() {
    let folder = run_folder();
    export(folder.path(), "boto3");
    let script = r#"
import json, sys
names = {}
exec(open(sys.argv[1]).read(), names)
import boto3
from boto3.s3.transfer import create_transfer_manager
t, c = names["transfer_config"], names["client_config"]
client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="s", config=c)
used = create_transfer_manager(client, t).config
print(json.dumps([
    t.max_concurrency, t.use_threads, t.preferred_transfer_client, client.meta.config.max_pool_connections,
    used.multipart_threshold, used.max_request_concurrency, used.multipart_chunksize, used.num_download_attempts,
    used.max_io_queue_size, used.io_chunksize, used.max_bandwidth,
]))
"#;
    if let Some(used) = python("boto3", script, &BTreeMap::new(), &[&folder.path().join("boto3")]) {
        let expected = json!([61, true, "classic", 61, 4 * MIB, 61, 7 * MIB + 1, 7, 10, 398_803, 900 * MIB]);
        assert_eq!(used, expected);
    }
}

#[test]
fn the_aws_cli_takes_the_configuration() {
    let folder = run_folder();
    export(folder.path(), "aws-cli");
    let file = folder.path().join("aws-cli");
    if there("aws", &["--version"]) {
        let get = |name: &str| {
            let mut command = clean("aws");
            command.args(["configure", "get", &format!("default.s3.{name}")]).env("AWS_CONFIG_FILE", &file);
            printed(&mut command).trim().to_owned()
        };
        assert_eq!(get("max_concurrent_requests"), "61");
        assert_eq!(get("preferred_transfer_client"), "classic");
    }
    // Version 1 is written in Python, and can be asked for its reading of the file.
    let script = r#"
import json, os, sys
os.environ["AWS_CONFIG_FILE"] = sys.argv[1]
import botocore.session
from awscli.customizations.s3.transferconfig import RuntimeConfig, create_transfer_config_from_runtime_config
scoped = botocore.session.Session().get_scoped_config()
used = create_transfer_config_from_runtime_config(RuntimeConfig().build_config(**scoped.get("s3", {})))
print(json.dumps([used.max_request_concurrency, used.multipart_threshold, used.multipart_chunksize, used.max_bandwidth]))
"#;
    if let Some(used) = python("awscli.customizations.s3.transferconfig", script, &BTreeMap::new(), &[&file]) {
        assert_eq!(used, json!([61, 4 * MIB, 7 * MIB + 1, 900 * MIB]));
    }
}

#[test]
fn rclone_takes_the_environment_and_the_flags() {
    let folder = run_folder();
    let exported = export(folder.path(), "rclone");
    let variables = exported_variables(&folder.path().join("rclone"), "RCLONE_");
    assert_eq!(variables.len(), 5, "{variables:?}");
    if !there("rclone", &["version"]) {
        return;
    }
    let options = |variables: &BTreeMap<String, String>, flags: &[&str]| {
        let mut command = clean("rclone");
        command.args(["rc", "--loopback", "options/get"]).args(flags).envs(variables);
        let all: Value = serde_json::from_str(&printed(&mut command)).unwrap();
        all["main"].clone()
    };
    let line = exported.lines().find_map(|line| line.strip_prefix("# As flags: ")).unwrap();
    let mut flags: Vec<&str> = line.split(' ').collect();
    let none = options(&BTreeMap::new(), &[]);
    if none.get("MultiThreadChunkSize").is_none() {
        // Before 1.64, as the comment says.
        for flag in ["--multi-thread-chunk-size", "--multi-thread-write-buffer-size"] {
            let at = flags.iter().position(|word| *word == flag).unwrap();
            flags.drain(at..at + 2);
        }
    }
    for used in [options(&variables, &[]), options(&BTreeMap::new(), &flags)] {
        assert_eq!((&used["MultiThreadStreams"], &used["MultiThreadCutoff"]), (&json!(61), &json!(4 * MIB)));
        assert_eq!((&used["MultiThreadSet"], &used["BwLimit"]), (&json!(true), &json!("900Mi")));
        assert!(used.get("MultiThreadChunkSize").is_none_or(|size| *size == json!(7 * MIB)), "{used}");
        assert!(used.get("MultiThreadWriteBufferSize").is_none_or(|size| *size == json!(389 << 10)), "{used}");
    }
    assert_ne!(none["MultiThreadStreams"], 61);
}

/// The object's bytes in requests of these sizes, however they came.
fn ranges(lab: &Lab) -> Vec<u64> {
    let size = |range: &str| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some(last.parse::<u64>().ok()? + 1 - first.parse::<u64>().ok()?)
    };
    lab.requests().iter().filter_map(|request| size(request.range.as_deref()?)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5cmd_takes_the_command_line() {
    let folder = run_folder();
    let exported = export(folder.path(), "s5cmd");
    let line = exported.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap();
    assert_eq!(line, "s5cmd cp --concurrency 61 --part-size 7");
    if !there("s5cmd", &["version"]) {
        return;
    }
    let lab = Lab::builder().bucket("lab").synthetic("lab", "key", 20 * MIB).keep_requests(100).build().unwrap();
    let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mut words = line.split(' ');
    let mut command = clean(words.next().unwrap());
    command.args(words).arg("s3://lab/key").arg(folder.path().join("x")).env("S3_ENDPOINT_URL", server.endpoint());
    command.env("AWS_ACCESS_KEY_ID", lab.access_key()).env("AWS_SECRET_ACCESS_KEY", lab.secret_key());
    command.env("AWS_REGION", "us-east-1");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
    // Its last range reaches beyond the end, as its others do not.
    let parts = ranges(&lab);
    assert_eq!(parts, [7 * MIB; 3]);
}

#[test]
fn s3fs_takes_the_storage_options() {
    let folder = run_folder();
    let exported = export(folder.path(), "s3fs");
    assert_eq!(exported, export(folder.path(), "fsspec"));
    let script = r#"
import json, sys
import fsspec
fs = fsspec.filesystem("s3", anon=True, **json.load(open(sys.argv[1])))
fs.connect()
print(json.dumps([fs.max_concurrency, fs.default_block_size, fs.s3.meta.config.max_pool_connections]))
"#;
    if let Some(used) = python("s3fs", script, &BTreeMap::new(), &[&folder.path().join("s3fs")]) {
        assert_eq!(used, json!([61, 7 * MIB + 1, 61]));
    }
}

#[test]
fn s3torchconnector_takes_the_configuration() {
    let folder = run_folder();
    export(folder.path(), "s3torchconnector");
    let script = r#"
import json, sys
names = {}
exec(open(sys.argv[1]).read(), names)
from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client
client = MountpointS3Client(region="us-east-1", part_size=names["s3client_config"].part_size)
print(json.dumps(client.part_size))
"#;
    let file = folder.path().join("s3torchconnector");
    if let Some(used) = python("s3torchconnector", script, &BTreeMap::new(), &[&file]) {
        assert_eq!(used, json!(7 * MIB + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polars_takes_the_environment() {
    let folder = run_folder();
    export(folder.path(), "polars");
    let mut variables = exported_variables(&folder.path().join("polars"), "POLARS_");
    assert_eq!(variables.len(), 5, "{variables:?}");
    let lab = Lab::builder().bucket("lab").object("lab", "x.csv", "a,b\n1,2\n".repeat(1000)).build().unwrap();
    let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    variables.extend(
        [("ENDPOINT", server.endpoint()), ("KEY", lab.access_key().into()), ("SECRET", lab.secret_key().into())]
            .map(|(name, value)| (name.to_owned(), value)),
    );
    variables.insert("POLARS_VERBOSE".to_owned(), "1".to_owned());
    // Polars writes its settings to standard error.
    let script = r#"
import json, os, re, sys, tempfile
saved, told = os.dup(2), tempfile.TemporaryFile()
os.dup2(told.fileno(), 2)
import polars
options = {"aws_access_key_id": os.environ["KEY"], "aws_secret_access_key": os.environ["SECRET"],
           "aws_region": "us-east-1", "aws_endpoint_url": os.environ["ENDPOINT"], "aws_allow_http": "true"}
try:
    polars.scan_csv("s3://lab/x.csv", storage_options=options).collect()
finally:
    os.dup2(saved, 2)
told.seek(0)
told = told.read().decode()
number = lambda name: next(iter(re.findall(r"\b%s: (\d+)" % name, told)), None)
print(json.dumps([number("download_chunk_size"), number("download_chunk_size_streaming"), number("request_budget")]))
"#;
    let used = tokio::task::spawn_blocking(move || python("polars", script, &variables, &[])).await.unwrap();
    if let Some(used) = used {
        // Releases differ in the settings that they tell; those that tell nothing show nothing.
        let told: Vec<&Value> = used.as_array().unwrap().iter().filter(|value| !value.is_null()).collect();
        assert!(!told.is_empty() && told.iter().all(|value| **value == "61" || **value == "7340033"), "{used}");
    }
}

#[test]
fn duckdb_takes_the_statements() {
    let folder = run_folder();
    export(folder.path(), "duckdb");
    let script = r#"
import json, sys
import duckdb
connection = duckdb.connect()
if int(duckdb.__version__.split(".")[0]) < 2:
    print("null")
else:
    connection.execute(open(sys.argv[1]).read())
    names = ["async_threads", "external_file_cache_remote_max_block_size"]
    print(json.dumps([connection.execute(f"select current_setting('{name}')").fetchone()[0] for name in names]))
"#;
    if let Some(used) = python("duckdb", script, &BTreeMap::new(), &[&folder.path().join("duckdb")]) {
        assert!(used.is_null() || used == json!([61, 8 * MIB]), "{used}");
    }
}

#[test]
fn toml_is_what_cp_reads_and_json_says_the_same() {
    let folder = run_folder();
    let toml: toml::Table = export(folder.path(), "toml").parse().unwrap();
    let json: Value = serde_json::from_str(&export(folder.path(), "json")).unwrap();
    assert_eq!(json, configuration());
    assert_eq!(serde_json::to_value(&toml).unwrap(), json);
    let config: s3xfer::TransferConfig = toml.try_into().unwrap();
    assert_eq!((config.max_concurrency(), config.multipart_chunksize()), (61, 7 * MIB + 1));
    assert_eq!((config.max_bandwidth(), config.adaptive_concurrency()), (Some(900 * MIB), false));
}

#[test]
fn what_is_said_of_the_values_is_there() {
    let folder = run_folder();
    let aws = export(folder.path(), "aws-cli");
    for says in [
        "# By s3tune for s3://b/k [default] (256 MiB), same-region.\n",
        "# 0.800 s on average of 6 downloads by s3xfer.\n",
        "# -33.3 % of the time against s3xfer's defaults, 95 % interval -36.0 % to -30.0 %.\n",
        "# Found with s3xfer, not measured with aws-cli",
        "# io_chunksize = 398803 is not carried",
        "# adaptive_concurrency = false is not carried",
    ] {
        assert!(aws.contains(says), "{says}: {aws}");
    }
    assert_eq!(aws.matches("\n[default]").count(), 1);
}

#[test]
fn formats_are_listed_and_wrong_usage_is_a_line() {
    let list = s3tune(&["export", "--list"]);
    assert_eq!(list.status.code(), Some(0));
    let list = text(list.stdout);
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let formats = ["toml", "json", "rust", "boto3", "aws-cli", "s5cmd", "rclone", "s3fs", "s3torchconnector"];
    assert_eq!(names, [&formats[..], &["polars", "duckdb"]].concat());

    let (empty, unfinished) = (tempfile::tempdir().unwrap(), run_folder());
    fs::remove_file(unfinished.path().join("summary.json")).unwrap();
    let damaged = run_folder();
    fs::write(damaged.path().join("summary.json"), "{\"schema\": 2,\n").unwrap();
    for (folder, code, says) in [
        (Path::new("/nonexistent/run"), 2, "/nonexistent/run: there is no such folder"),
        (empty.path(), 2, "run.json"),
        (unfinished.path(), 2, "its command with --out /"),
        (damaged.path(), 1, "summary.json is damaged"),
    ] {
        let output = s3tune(&["export", folder.to_str().unwrap(), "--format", "toml"]);
        let line = text(output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}");
        assert!(line.starts_with("s3tune: ") && line.contains(says) && line.lines().count() == 1, "{line}");
        assert!(output.stdout.is_empty());
    }
}
