//! Other programs: is each of them faster with the configuration that s3tune found for it, also when it runs without
//! s3tune?
//!
//! Each is tuned by the command that a user would type, the recommendation is exported in its own format, and then a
//! plain script of it downloads with its defaults and with the export, in turn.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use s3lab::{NetworkProfile, SyntheticObject};
use s3tune::lab::{self, EmbeddedS3};
use s3tune::object::Object;
use tokio::process::Command;
use tokio::time::timeout;

use crate::arena::Clock;
use crate::figures::median;

const S3TUNE: &str = env!("CARGO_BIN_EXE_s3tune");
const NETWORK: &str = "same-region";
const BYTES: u64 = 256 << 20;
/// A program that runs longer hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// Times boto3's `download_file`, with the export of a file or with boto3's defaults.
const BOTO3: &str = "\
import boto3, os, runpy, sys, time
target, tuned = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
found = runpy.run_path(tuned) if tuned else {}
client = boto3.client('s3', endpoint_url=os.environ['ENDPOINT'], config=found.get('client_config'))
begin = time.monotonic()
client.download_file(os.environ['BUCKET'], os.environ['KEY'], target, Config=found.get('transfer_config'))
print(time.monotonic() - begin)
";

/// The figures of one program.
struct Row {
    engine: String,
    search_seconds: f64,
    trials: u64,
    default: f64,
    improvement: f64,
    ci95: [f64; 2],
    recommended: String,
    felt_default: f64,
    felt: f64,
    settings: String,
}

/// A place to download from, and the words that lead there.
struct Place {
    embedded: EmbeddedS3,
    object: Object,
    folder: tempfile::TempDir,
}

/// The table: `seconds` of search for each of `engines`, then `pairs` of downloads.
pub(crate) fn run(engines: &[String], seconds: f64, pairs: usize, folder: &Path) -> Result<String, String> {
    Clock::Real.runtime()?.block_on(async {
        let mut text = String::from(
            "| engine | search and comparison, s | trials | its default, s | less time, claimed | \
             95 % interval | default, plain, s | less time, plain | recommended |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
        );
        for engine in engines {
            match row(engine, seconds, pairs, folder).await {
                Ok(row) => {
                    let line = row.line();
                    eprintln!("{line}");
                    let _ = writeln!(text, "{line}");
                }
                Err(why) => {
                    let _ = writeln!(text, "| {engine} | | | | | | | | {why} |");
                }
            }
        }
        Ok(text)
    })
}

impl Row {
    fn line(&self) -> String {
        let [low, high] = self.ci95.map(|bound| bound * 100.0);
        format!(
            "| {} | {:.0} | {} | {:.2} | {:.1} % | {low:.1} to {high:.1} | {:.2} | {:.1} % | {}: {} |",
            self.engine,
            self.search_seconds,
            self.trials,
            self.default,
            self.improvement * 100.0,
            self.felt_default,
            (1.0 - self.felt / self.felt_default) * 100.0,
            self.recommended,
            self.settings,
        )
    }
}

async fn row(engine: &str, seconds: f64, pairs: usize, folder: &Path) -> Result<Row, String> {
    let scratch = tempfile::tempdir().map_err(|error| format!("failed to make a folder: {error}"))?;
    let out = scratch.path().join("run");
    let mut tune = Command::new(S3TUNE);
    tune.args(["tune", "--lab", NETWORK, "--object-size", "256MiB", "--engine", engine, "--n-downloads", "2"]);
    tune.arg("--max-tuning-time").arg(seconds.to_string()).arg("--out").arg(&out).arg("--file-path").arg(folder);
    let began = Instant::now();
    finished(tune).await?;
    let all = began.elapsed().as_secs_f64();
    eprintln!("{engine}: tuned in {all:.0} s, the comparison included");
    let mut export = Command::new(S3TUNE);
    export.arg("export").arg(&out).args(["--format", engine]);
    let exported = String::from_utf8_lossy(&finished(export).await?.stdout).into_owned();
    let summary = fs::read_to_string(out.join("summary.json")).map_err(|error| error.to_string())?;
    let summary: s3tune::results::Summary = serde_json::from_str(&summary).map_err(|error| error.to_string())?;

    let profile = NetworkProfile::named(NETWORK).map_err(|error| error.to_string())?;
    let (embedded, object) = lab::with_object(profile, BYTES).await.map_err(|failure| failure.line())?;
    let folder = tempfile::tempdir_in(folder).map_err(|error| format!("failed to make a folder: {error}"))?;
    let place = Place { embedded, object, folder };
    let [mut plain, mut tuned] = [Vec::new(), Vec::new()];
    for pair in 0..pairs {
        for turn in [pair % 2, (pair + 1) % 2] {
            if turn == 0 {
                plain.push(place.seconds(engine, None).await?);
            } else {
                tuned.push(place.seconds(engine, Some(&exported)).await?);
            }
        }
    }
    let settings: Vec<String> = exported
        .lines()
        .filter(|line| line.contains(['=', '-']) && !line.starts_with('#'))
        .map(str::trim)
        .map(str::to_owned)
        .collect();
    Ok(Row {
        engine: engine.to_owned(),
        search_seconds: all,
        trials: summary.trials,
        default: summary.engine_default.mean,
        improvement: summary.versus_engine_default.improvement,
        ci95: summary.versus_engine_default.ci95,
        recommended: serde_json::to_string(&summary.recommended).unwrap_or_default().replace('"', ""),
        felt_default: median(&plain),
        felt: median(&tuned),
        settings: settings.join("; "),
    })
}

impl Place {
    /// Seconds of one plain download, with the text of an export or without one. Every byte is checked.
    async fn seconds(&self, engine: &str, exported: Option<&str>) -> Result<f64, String> {
        let target = self.folder.path().join("object");
        let tuned = self.folder.path().join("tuned");
        fs::write(&tuned, exported.unwrap_or_default()).map_err(|error| error.to_string())?;
        let command = self.command(engine, exported, &target, &tuned)?;
        let began = Instant::now();
        let output = finished(command).await?;
        let wall = began.elapsed().as_secs_f64();
        let bytes = fs::read(&target).map_err(|error| format!("{engine} wrote no file: {error}"))?;
        let object = SyntheticObject::named(&self.object.bucket, &self.object.key, BYTES);
        if bytes.len() as u64 != BYTES || object.verify(0, &bytes).is_err() {
            return Err(format!("{engine} wrote a wrong file"));
        }
        fs::remove_file(&target).map_err(|error| error.to_string())?;
        if engine != "boto3" {
            return Ok(wall);
        }
        let says = String::from_utf8_lossy(&output.stdout).into_owned();
        says.trim().parse().map_err(|_| format!("boto3's script said {says:?}, which is no time"))
    }

    fn command(&self, engine: &str, exported: Option<&str>, target: &Path, tuned: &Path) -> Result<Command, String> {
        let source = format!("s3://{}/{}", self.object.bucket, self.object.key);
        let mut command = match engine {
            "boto3" => {
                let mut python = Command::new("python3");
                python.arg("-c").arg(BOTO3).arg(target);
                exported.map(|_| python.arg(tuned));
                python
            }
            "aws-cli" => {
                let mut aws = Command::new("aws");
                aws.args(["s3", "cp", "--no-progress", &source]).arg(target).env("AWS_CONFIG_FILE", tuned);
                aws
            }
            "s5cmd" => {
                let line =
                    exported.and_then(|text| text.lines().find(|line| !line.starts_with('#') && !line.is_empty()));
                let mut words = line.unwrap_or("s5cmd cp").split_whitespace();
                let mut s5cmd = Command::new(words.next().unwrap_or("s5cmd"));
                s5cmd.args(words).arg(&source).arg(target);
                s5cmd
            }
            "rclone" => {
                let mut shell = Command::new("sh");
                let source = format!(":s3:{}/{}", self.object.bucket, self.object.key);
                let line =
                    ". \"$1\" && exec rclone copyto --config= --s3-provider=Other --s3-env-auth=true \"$2\" \"$3\"";
                shell.args(["-c", line, "sh"]).arg(tuned).arg(source).arg(target);
                shell.env("RCLONE_S3_ENDPOINT", self.embedded.endpoint()).env("RCLONE_S3_REGION", "us-east-1");
                shell
            }
            other => return Err(format!("there is no plain script of {other}")),
        };
        let lab = self.embedded.lab();
        command
            .env("ENDPOINT", self.embedded.endpoint())
            .env("BUCKET", &self.object.bucket)
            .env("KEY", &self.object.key)
            .env("AWS_ENDPOINT_URL", self.embedded.endpoint())
            .env("S3_ENDPOINT_URL", self.embedded.endpoint())
            .env("AWS_ACCESS_KEY_ID", lab.access_key())
            .env("AWS_SECRET_ACCESS_KEY", lab.secret_key())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("AWS_PROFILE")
            // At which rclone as Debian builds it fails.
            .env_remove("AWS_CA_BUNDLE");
        Ok(command)
    }
}

/// Runs a program to its end and gives its output. A failure, or no end within [`LIMIT`], is an error.
async fn finished(mut command: Command) -> Result<Output, String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let running =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).output();
    let output = timeout(LIMIT, running)
        .await
        .map_err(|_| format!("{name} did not end within {} s", LIMIT.as_secs()))?
        .map_err(|error| format!("cannot start {name}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let says = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}: {}", output.status, says.lines().last().unwrap_or("it says nothing")))
}
