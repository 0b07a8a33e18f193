//! The command line: flags, their defaults and their help. Other modules do the work.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::export::{FORMATS, Format};
use crate::failure::Failure;
use crate::size::ByteSize;

mod folders;

pub use folders::{CopyFlags, Filters, FolderArgs, SyncArgs};

/// Finds, proves and exports a better S3 transfer configuration for this machine and this bucket.
#[derive(Debug, Parser)]
#[command(name = "s3tune", version, max_term_width = 100)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tune downloads from an S3 that is embedded in this program; needs no account and no network
    Demo(DemoArgs),
    /// Tune downloads of one object
    Tune(Box<TuneArgs>),
    /// Write the tables and the report of a run's folder again, at any time, without measuring anything
    Report(ReportArgs),
    /// Print the configuration that a run recommends, in the format of another program
    Export(ExportArgs),
    /// Copy an object or a file to, from or within S3, with the configuration that a run found
    Cp(Box<CpArgs>),
    /// Copy new and changed objects or files below a folder or a prefix, to, from or within S3
    Sync(Box<SyncArgs>),
    /// Run the embedded S3 for other clients; print one JSON line with its address and keys
    Serve(ServeArgs),
}

/// `s3tune demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder of the results; continues an earlier run in it [default: a new folder s3tune-demo]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seconds of search, without the comparison at the end
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    pub max_tuning_time: f64,
    /// Seed of the search and of the emulated network
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
}

/// `s3tune tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// Bucket of the object
    #[arg(long, required_unless_present = "lab", conflicts_with = "lab", value_parser = NonEmptyStringValueParser::new())]
    pub bucket: Option<String>,
    /// Key of the object
    #[arg(long, required_unless_present = "lab", conflicts_with = "lab", value_parser = NonEmptyStringValueParser::new())]
    pub key: Option<String>,
    /// S3 endpoint, such as http://127.0.0.1:9000 [default: AWS's, or AWS_ENDPOINT_URL]
    #[arg(long, value_name = "U", conflicts_with = "lab")]
    pub endpoint_url: Option<String>,
    /// Region of the bucket [default: from AWS's variables and files]
    #[arg(long, value_name = "R", conflicts_with = "lab", value_parser = NonEmptyStringValueParser::new())]
    pub region: Option<String>,
    /// Profile in AWS's files
    #[arg(long, value_name = "P", conflicts_with = "lab", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
    /// Do not sign requests (public buckets, plain web servers)
    #[arg(long, conflicts_with = "lab")]
    pub no_sign_request: bool,
    /// Instead of a bucket, the embedded S3 behind this emulated network: a name or a TOML file
    #[arg(long, value_name = "NAME|PROFILE.toml")]
    pub lab: Option<String>,
    /// Size of the embedded S3's object
    #[arg(long, value_name = "SIZE", default_value = "256MiB", conflicts_with = "bucket")]
    pub object_size: ByteSize,
    /// Folder of the results; continues an earlier run in it [default: a new folder s3tune-run]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder for the repeated downloads of the object [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub file_path: Option<PathBuf>,
    /// Name of the downloaded file [default: the last part of the key]
    #[arg(long, value_name = "NAME")]
    pub file_name: Option<String>,
    /// Downloads per configuration; racing and Hyperband give fewer to those that fall behind
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub n_downloads: u32,
    /// Second configuration of the search; the engine's own default always comes first
    #[arg(long, value_enum, default_value_t = Init::Random)]
    pub init: Init,
    /// Search method: auto (racing), bayes_fifo or bayes_hyperband (the AWS sample's), hyperband, mobster, random, or
    /// another searcher's or scheduler's name
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    pub search: String,
    /// Seconds of search, all sessions in one folder together, without the comparison at the end
    #[arg(long, value_name = "S", default_value = "300", value_parser = seconds, allow_negative_numbers = true)]
    pub max_tuning_time: f64,
    /// Largest number of configurations to try, all sessions in one folder together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_trials: Option<u64>,
    /// Wait for every download of the search, even if it can no longer be as fast as the best so far
    #[arg(long)]
    pub no_cut_off: bool,
    /// Most bytes to download, the comparison included, all sessions in one folder together; bytes of failed downloads
    /// are not counted
    #[arg(long, value_name = "SIZE")]
    pub max_bytes: Option<ByteSize>,
    /// Approximate limit on requests: retries and failed downloads are not counted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_requests: Option<u64>,
    /// Approximate limit on cost, in the currency of the prices
    #[arg(long, value_name = "C", value_parser = money, allow_negative_numbers = true, requires_all = ["price_per_1000_requests", "price_per_gb"])]
    pub max_cost: Option<f64>,
    /// Price of 1,000 GET requests [AWS, us-east-1, S3 Standard, 2026: 0.0004 USD]
    #[arg(long, value_name = "C", value_parser = price, allow_negative_numbers = true)]
    pub price_per_1000_requests: Option<f64>,
    /// Price of a GB of transfer: 0 within a region of AWS, about 0.09 USD to the Internet
    #[arg(long, value_name = "C", value_parser = price, allow_negative_numbers = true)]
    pub price_per_gb: Option<f64>,
    /// Configurations measured at a time; more than 1 is refused, because they would share this machine's link
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub workers: u32,
    /// Name the tables' columns as Syne Tune does, for the notebooks of the AWS sample
    #[arg(long)]
    pub syne_tune_names: bool,
    /// Seed of the search [default: 42], and of the embedded S3's network [default: 42, or that of a --lab file]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Space to search: `default` (the engine's own), `compat` (the ranges of the AWS sample, for boto3's parameters)
    /// or a TOML file [default: default]
    #[arg(long, value_name = "NAME|FILE.toml")]
    pub space: Option<String>,
    /// Engine that downloads: s3xfer, boto3, aws-cli, s5cmd, rclone, an engine file, or a command with placeholders
    /// such as "mycp --endpoint {endpoint} -c {max_concurrency} s3://{bucket}/{key} {out}"
    #[arg(long, value_name = "NAME|FILE.toml|CMD-TEMPLATE", default_value = "s3xfer")]
    pub engine: String,
}

/// `s3tune report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder of a run, finished or not
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Name the tables' columns as Syne Tune does, for the notebooks of the AWS sample; a run that was made with this
    /// flag keeps those names anyway
    #[arg(long)]
    pub syne_tune_names: bool,
}

/// The second configuration of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Init {
    /// A configuration that the search chooses.
    Random,
    /// boto3's default configuration, where the engine has boto3's parameters.
    Boto3Defaults,
}

/// `s3tune export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of the run
    #[arg(value_name = "DIR", required_unless_present = "list")]
    pub folder: Option<PathBuf>,
    /// Format to print; --list describes each format
    #[arg(long, value_name = "FORMAT", required_unless_present = "list", value_parser = formats())]
    pub format: Option<String>,
    /// List the formats
    #[arg(long)]
    pub list: bool,
}

/// `s3tune cp`.
#[derive(Debug, Args)]
pub struct CpArgs {
    /// The object, as s3://BUCKET/KEY; the bucket may be the ARN of an access point. Or a file, - for standard input,
    /// or the URL of an object, presigned or public
    #[arg(value_name = "SRC")]
    pub source: OsString,
    /// A file, - for standard output, or /dev/null; or the object. A folder, or a name that ends with a slash, takes
    /// the name of SRC. SRC or DST must be in S3
    #[arg(value_name = "DST")]
    pub target: OsString,
    /// Version of the object
    #[arg(long, value_name = "V")]
    pub version_id: Option<String>,
    #[allow(missing_docs, reason = "the flags speak for themselves")]
    #[command(flatten)]
    pub flags: CopyFlags,
    /// Copy everything below SRC, a folder or a prefix, to the same names below DST
    #[arg(long)]
    pub recursive: bool,
    #[allow(missing_docs, reason = "the flags speak for themselves")]
    #[command(flatten)]
    pub folders: FolderArgs,
}

/// `s3tune serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Emulated network: a name or a TOML file [default: none, as fast as the machine]
    #[arg(long, value_name = "NAME|FILE.toml")]
    pub profile: Option<String>,
    /// Address to listen on; port 0 takes a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// Name of the bucket
    #[arg(long, default_value = "lab")]
    pub bucket: String,
    /// An object in the bucket, with bytes that are computed, not stored; may be repeated
    #[arg(long, value_name = "KEY=SIZE", value_parser = synthetic)]
    pub synthetic: Vec<(String, ByteSize)>,
    /// Access key [default: S3TUNE_ACCESS_KEY from the environment, or a random one]
    #[arg(long, value_name = "A", requires = "secret")]
    pub access_key: Option<String>,
    /// Secret key; every user of the machine sees it in the list of processes, unlike --secret-key-file and
    /// S3TUNE_SECRET_KEY [default: S3TUNE_SECRET_KEY from the environment, or a random one]
    #[arg(long, value_name = "S", requires = "access_key", group = "secret")]
    pub secret_key: Option<String>,
    /// File with the secret key as its only line
    #[arg(long, value_name = "FILE", requires = "access_key", group = "secret")]
    pub secret_key_file: Option<PathBuf>,
}

/// Parses the process's arguments. Flags may be spelled with underscores, as in the AWS sample (`--n_downloads`); words
/// after `--` are not flags.
///
/// # Errors
///
/// [`Failure::Usage`] in one line. For help and version, clap prints the text and ends the process.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    let mut flags = true;
    let arguments = arguments.into_iter().map(|argument| {
        // All later words are names of files and objects.
        flags &= argument != "--";
        if flags { with_dashes(argument) } else { argument }
    });
    Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Failure::usage(
            "no command was given; write s3tune demo, tune, report, export, cp, sync or serve (--help describes each)",
        ),
        _ => Failure::usage(one_line(&error)),
    })
}

fn with_dashes(argument: OsString) -> OsString {
    match argument.to_str() {
        Some(text) if text.starts_with("--") => {
            let (flag, value) = text.split_at(text.find('=').unwrap_or(text.len()));
            format!("{}{value}", flag.replace('_', "-")).into()
        }
        _ => argument,
    }
}

/// clap's first line states the mistake; its context states the way to mend it.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or(&text).trim_start_matches("error: ");
    let mut line = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedValue, ContextKind::SuggestedSubcommand]
        .into_iter()
        .find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(name)) => Some(name.clone()),
            Some(ContextValue::Strings(names)) => names.first().cloned(),
            _ => None,
        });
    if let Some(suggested) = suggested {
        line.push_str(&format!("; did you mean {suggested}?"));
    }
    line + " (--help lists them all)"
}

/// The names of all formats.
fn formats() -> PossibleValuesParser {
    let value = |format: &Format| PossibleValue::new(format.name).aliases(format.alias);
    PossibleValuesParser::new(FORMATS.into_iter().map(value))
}

/// The seconds of a year: a longer time is a typing mistake.
const LONGEST: f64 = 365.0 * 86_400.0;

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(seconds),
        _ => Err(format!("it must be a number of seconds greater than 0 and at most {LONGEST} (a year)")),
    }
}

fn money(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(amount) if amount > 0.0 && amount.is_finite() => Ok(amount),
        _ => Err("it must be a number greater than 0".to_owned()),
    }
}

fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price >= 0.0 && price.is_finite() => Ok(price),
        _ => Err("it must be a number, at least 0".to_owned()),
    }
}

fn synthetic(text: &str) -> Result<(String, ByteSize), String> {
    let (key, size) = text.rsplit_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write it like big=3GiB")?;
    Ok((key.to_owned(), size.parse().map_err(|error: crate::size::SizeError| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, Failure> {
        parse(line.split(' ').map(OsString::from))
    }

    fn refused(line: &str) -> String {
        match parsed(line) {
            Err(Failure::Usage(line)) => line,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn clap_finds_no_fault_with_the_definitions() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_samples_spelling_is_accepted() {
        let Command::Tune(tune) = parsed(
            "s3tune tune --bucket my_bucket --key a_b --n_downloads 2 --init=boto3_defaults --max_tuning_time=9 \
             --file_path /x_y --file_name f_g --search bayes_fifo",
        )
        .unwrap()
        .command
        else {
            panic!("not tune")
        };
        assert_eq!((tune.bucket.as_deref(), tune.key.as_deref()), (Some("my_bucket"), Some("a_b")));
        assert_eq!((tune.n_downloads, tune.init, tune.max_tuning_time), (2, Init::Boto3Defaults, 9.0));
        assert_eq!(tune.file_path, Some("/x_y".into()));
    }

    #[test]
    fn words_behind_two_dashes_are_taken_as_they_are() {
        let Command::Cp(cp) = parsed("s3tune cp --no_resume -- --a_b s3://b/c_d").unwrap().command else {
            panic!("not cp")
        };
        assert_eq!((cp.source, cp.target, cp.flags.no_resume), ("--a_b".into(), "s3://b/c_d".into(), true));
    }

    #[test]
    fn filters_keep_their_order() {
        let line = "s3tune cp s3://b/k x --recursive --exclude * --include *.txt --exclude=a.txt --dryrun";
        let Command::Cp(cp) = parsed(line).unwrap().command else { panic!("not cp") };
        let globs = &cp.folders.filters.globs;
        assert!(globs.take("b.txt") && !globs.take("a.txt") && !globs.take("b.bin"));
        assert_eq!(cp.folders.given(), Some("--include and --exclude"));
        let Command::Cp(cp) = parsed("s3tune cp s3://b/k x --dry-run").unwrap().command else { panic!("not cp") };
        assert_eq!(cp.folders.given(), None);
        assert!(cp.folders.dry_run);
    }

    #[test]
    fn wrong_usage_is_one_line_that_says_what() {
        for (line, says) in [
            ("s3tune tune --bucket b --key k --no-such-flag", "--no-such-flag"),
            ("s3tune tune --bucket b", "--key"),
            ("s3tune tune --bucket= --key k", "--bucket"),
            ("s3tune tune --bucket b --key k --n-downloads 0", "--n-downloads"),
            ("s3tune tune --bucket b --key k --max-tuning-time -3", "--max-tuning-time"),
            ("s3tune tune --bucket b --key k --max-tuning-time 1e300", "a year"),
            ("s3tune tune --bucket b --key k --lab lan", "--lab"),
            ("s3tune tune --lab lan --region eu-west-3", "--region"),
            ("s3tune tune --bucket b --key k --profile=", "--profile"),
            ("s3tune tune --bucket b --key k --object-size 3GiB", "--object-size"),
            ("s3tune tune --bucket b --key k --max-cost 3", "--price-per-gb"),
            ("s3tune tune --bucket b --key k --max-cost 0 --price-per-gb 1 --price-per-1000-requests 1", "--max-cost"),
            ("s3tune tune --bucket b --key k --max-bytes many", "--max-bytes"),
            ("s3tune tune --bucket b --key k --workers 0", "--workers"),
            ("s3tune", "s3tune demo"),
            ("s3tune report", "<DIR>"),
            ("s3tune serve --synthetic big", "big=3GiB"),
            ("s3tune serve --listen nowhere", "--listen"),
            ("s3tune serve --access-key a", "--secret-key"),
            ("s3tune serve --secret-key s", "--access-key"),
            ("s3tune serve --secret-key-file s", "--access-key"),
            ("s3tune serve --access-key a --secret-key s --secret-key-file s", "--secret-key"),
            ("s3tune dmeo", "dmeo"),
            ("s3tune export run", "--format"),
            ("s3tune export --format toml", "DIR"),
            ("s3tune export run --format yaml", "s3torchconnector"),
            ("s3tune export run --format bot3", "did you mean boto3"),
            ("s3tune cp s3://b/k", "DST"),
            ("s3tune cp s3://b/k x --region=", "--region"),
            ("s3tune sync s3://b/k", "DST"),
            ("s3tune sync s3://b/k x --size-only --checksum", "--checksum"),
            ("s3tune sync s3://b/k x --objects-at-once 0", "--objects-at-once"),
        ] {
            let message = refused(line);
            assert!(message.contains(says) && !message.contains('\n'), "{line}: {message}");
        }
        assert!(refused("s3tune tune --bucket b --key k --max-trial 3").contains("did you mean --max-trials"));
    }
}
