//! The programs: the command of each for each job, and its presence on this machine. All run with their defaults, but
//! say nothing of each file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::TryStreamExt;

use crate::place::{BUCKET, REGION};

const S3TUNE: &str = env!("CARGO_BIN_EXE_s3tune");

/// The work of one run. Prefixes end with `/`.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    Up { file: PathBuf, key: String },
    FolderUp { folder: PathBuf, prefix: String },
    FolderDown { prefix: String, folder: PathBuf },
    List { prefix: String },
    Sync { folder: PathBuf, prefix: String },
}

/// boto3's own ways: one file, and a listing.
const BOTO3_UP: &str = "\
import boto3, sys
boto3.client('s3', endpoint_url=sys.argv[1]).upload_file(sys.argv[2], sys.argv[3], sys.argv[4])
";
const BOTO3_LIST: &str = "\
import boto3, sys
pages = boto3.client('s3', endpoint_url=sys.argv[1]).get_paginator('list_objects_v2')
for page in pages.paginate(Bucket=sys.argv[2], Prefix=sys.argv[3]):
    for listed in page.get('Contents', []):
        print(listed['Key'])
";

/// The command by which `program` does the job.
///
/// # Errors
///
/// Why it cannot.
pub(crate) fn command(program: &str, job: &Job, endpoint: &str) -> Result<Vec<String>, String> {
    let show = |path: &Path| path.display().to_string();
    let below = |folder: &Path| format!("{}/", folder.display());
    let uri = |key: &str| format!("s3://{BUCKET}/{key}");
    let words: Vec<String> = match program {
        "s3tune" => match job {
            Job::Up { file, key } => vec!["cp".to_owned(), show(file), uri(key)],
            Job::FolderUp { folder, prefix } => {
                vec!["cp".to_owned(), "--recursive".to_owned(), show(folder), uri(prefix)]
            }
            Job::FolderDown { prefix, folder } => {
                vec!["cp".to_owned(), "--recursive".to_owned(), uri(prefix), show(folder)]
            }
            Job::Sync { folder, prefix } => vec!["sync".to_owned(), show(folder), uri(prefix)],
            Job::List { prefix } => {
                let this = std::env::current_exe().map_err(|error| error.to_string())?;
                return Ok(vec![show(&this), "list".to_owned(), endpoint.to_owned(), prefix.clone()]);
            }
        },
        "s5cmd" => match job {
            Job::Up { file, key } => vec!["cp".to_owned(), show(file), uri(key)],
            Job::FolderUp { folder, prefix } => vec!["cp".to_owned(), below(folder), uri(prefix)],
            Job::FolderDown { prefix, folder } => vec!["cp".to_owned(), uri(&format!("{prefix}*")), below(folder)],
            Job::Sync { folder, prefix } => vec!["sync".to_owned(), below(folder), uri(prefix)],
            Job::List { prefix } => vec!["ls".to_owned(), uri(&format!("{prefix}*"))],
        },
        "rclone" => {
            let remote = |key: &str| format!(":s3:{BUCKET}/{key}");
            match job {
                Job::Up { file, key } => vec!["copyto".to_owned(), show(file), remote(key)],
                Job::FolderUp { folder, prefix } => vec!["copy".to_owned(), show(folder), remote(prefix)],
                Job::FolderDown { prefix, folder } => vec!["copy".to_owned(), remote(prefix), show(folder)],
                // With its own rule it asks for each object's metadata.
                Job::Sync { folder, prefix } => {
                    vec!["sync".to_owned(), "--size-only".to_owned(), show(folder), remote(prefix)]
                }
                Job::List { prefix } => vec!["lsf".to_owned(), "-R".to_owned(), remote(prefix)],
            }
        }
        "aws-cli" => match job {
            Job::Up { file, key } => vec!["cp".to_owned(), show(file), uri(key)],
            Job::FolderUp { folder, prefix } => {
                vec!["cp".to_owned(), "--recursive".to_owned(), show(folder), uri(prefix)]
            }
            Job::FolderDown { prefix, folder } => {
                vec!["cp".to_owned(), "--recursive".to_owned(), uri(prefix), show(folder)]
            }
            Job::Sync { folder, prefix } => vec!["sync".to_owned(), show(folder), uri(prefix)],
            Job::List { prefix } => vec!["ls".to_owned(), "--recursive".to_owned(), uri(prefix)],
        },
        "boto3" => match job {
            Job::Up { file, key } => {
                vec![
                    "-c".to_owned(),
                    BOTO3_UP.to_owned(),
                    endpoint.to_owned(),
                    show(file),
                    BUCKET.to_owned(),
                    key.clone(),
                ]
            }
            Job::List { prefix } => {
                vec!["-c".to_owned(), BOTO3_LIST.to_owned(), endpoint.to_owned(), BUCKET.to_owned(), prefix.clone()]
            }
            _ => return Err("it copies no folders".to_owned()),
        },
        other => return Err(format!("{other} is not known here")),
    };
    let all = |head: &[&str], tail: &[&str]| {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        [own(head), words.clone(), own(tail)].concat()
    };
    Ok(match program {
        "s3tune" => all(&[S3TUNE], &["--endpoint-url", endpoint]),
        // At that level it prints no keys.
        "s5cmd" if matches!(job, Job::List { .. }) => all(&[&found("s5cmd")?, "--endpoint-url", endpoint], &[]),
        "s5cmd" => all(&[&found("s5cmd")?, "--log", "error", "--endpoint-url", endpoint], &[]),
        "rclone" => all(
            &[&found("rclone")?],
            &[
                "--config",
                "/dev/null",
                "--s3-provider",
                "Other",
                "--s3-env-auth",
                "--s3-force-path-style",
                "--s3-endpoint",
                endpoint,
                "--s3-region",
                REGION,
            ],
        ),
        "aws-cli" if matches!(job, Job::List { .. }) => all(&[&found("aws")?, "s3"], &["--endpoint-url", endpoint]),
        "aws-cli" => all(&[&found("aws")?, "s3"], &["--only-show-errors", "--endpoint-url", endpoint]),
        _ => all(&[&found("python3")?], &[]),
    })
}

/// The versions of the programs that are there, for the table's foot.
pub(crate) fn versions(programs: &[String]) -> String {
    let asked = |program: &String| {
        let (file, words) = match program.as_str() {
            "s5cmd" => ("s5cmd", &["version"][..]),
            "rclone" => ("rclone", &["version"][..]),
            "aws-cli" => ("aws", &["--version"][..]),
            "boto3" => ("python3", &["-c", "import boto3; print(boto3.__version__)"][..]),
            _ => return None,
        };
        let output = std::process::Command::new(found(file).ok()?).args(words).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = said.lines().next()?.trim_start_matches("rclone ").split_whitespace().next()?.to_owned();
        Some(if version.contains('/') { version.replace('/', " ") } else { format!("{program} {version}") })
    };
    programs.iter().filter_map(asked).collect::<Vec<_>>().join(", ")
}

/// The path of a program on PATH.
fn found(name: &str) -> Result<String, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.map(|path| path.display().to_string()).ok_or_else(|| format!("{name} is not on PATH"))
}

/// Lists a prefix with s3xfer: as many lines as keys, and the seconds to the first.
pub(crate) fn list(endpoint: &str, prefix: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let client = s3xfer::Client::builder().endpoint_url(endpoint).region(REGION).build().await;
        let began = Instant::now();
        let mut listing = client.map_err(|error| error.to_string())?.list(BUCKET, prefix);
        let mut first = None;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        while let Some(object) = listing.try_next().await.map_err(|error| error.to_string())? {
            first.get_or_insert_with(|| began.elapsed());
            std::io::Write::write_all(&mut out, format!("{}\n", object.key).as_bytes())
                .map_err(|error| error.to_string())?;
        }
        Ok(format!("first after {:.3} s", first.unwrap_or_default().as_secs_f64()))
    })
}
