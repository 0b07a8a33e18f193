//! The flags of copies of whole folders: `s3tune cp --recursive` and `s3tune sync`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use s3xfer::Globs;

use crate::object::Access;

/// `s3tune sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// A folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "SRC")]
    pub source: OsString,
    /// A folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "DST")]
    pub target: OsString,
    /// Delete names at DST that SRC does not have
    #[arg(long)]
    pub delete: bool,
    /// Transfer objects and files whose size differs, whatever their time
    #[arg(long, group = "rule")]
    pub size_only: bool,
    /// Transfer those whose checksum differs, whatever their time; reads the files, and asks S3 for each object's
    /// checksum
    #[arg(long, group = "rule")]
    pub checksum: bool,
    /// Transfer those that are newer at SRC, whatever their size
    #[arg(long, group = "rule")]
    pub update: bool,
    #[allow(missing_docs, reason = "the flags speak for themselves")]
    #[command(flatten)]
    pub folders: FolderArgs,
    #[allow(missing_docs, reason = "the flags speak for themselves")]
    #[command(flatten)]
    pub flags: CopyFlags,
}

/// The flags shared by copies of one object and copies of many.
#[derive(Debug, Args)]
pub struct CopyFlags {
    /// Configuration, such as best.toml of a run with s3xfer [default: s3xfer's defaults]
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// File that keeps the findings about an endpoint and bucket from one copy to the next, as JSON
    #[arg(long, value_name = "FILE.json")]
    pub memory: Option<PathBuf>,
    /// Keep nothing of a copy that stops early, and do not continue an earlier one
    #[arg(long)]
    pub no_resume: bool,
    /// S3 endpoint, such as http://127.0.0.1:9000 [default: AWS's, or AWS_ENDPOINT_URL]
    #[arg(long, value_name = "U")]
    pub endpoint_url: Option<String>,
    /// Region of the bucket [default: from AWS's variables and files]
    #[arg(long, value_name = "R", value_parser = NonEmptyStringValueParser::new())]
    pub region: Option<String>,
    /// Profile in AWS's files
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
    /// Do not sign requests (public buckets, plain web servers)
    #[arg(long)]
    pub no_sign_request: bool,
    /// The requester pays for the requests and the data
    #[arg(long)]
    pub request_payer: bool,
}

impl CopyFlags {
    /// The connection that these flags describe.
    #[must_use]
    pub fn access(&self) -> Access<'_> {
        Access {
            endpoint: self.endpoint_url.as_deref(),
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            unsigned: self.no_sign_request,
        }
    }
}

/// The flags of both commands.
#[derive(Debug, Args)]
pub struct FolderArgs {
    #[allow(missing_docs, reason = "the flags speak for themselves")]
    #[command(flatten)]
    pub filters: Filters,
    /// Print the planned actions without doing them
    #[arg(long, visible_alias = "dryrun")]
    pub dry_run: bool,
    /// Stop at the first failure, instead of continuing with the other objects
    #[arg(long)]
    pub fail_fast: bool,
    /// Downloads: give files the time of their objects; uploads: keep files' times in metadata
    #[arg(long)]
    pub keep_times: bool,
    /// Uploads: follow symbolic links, instead of leaving them out
    #[arg(long)]
    pub follow_symlinks: bool,
    /// Downloads: list all names and check each before anything is written
    #[arg(long)]
    pub check_names_first: bool,
    /// Limit on objects in transfer at once [default: max_concurrency of the configuration, or 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub objects_at_once: Option<u32>,
}

impl FolderArgs {
    /// The first given flag that has no meaning for a single object.
    #[must_use]
    pub fn given(&self) -> Option<&'static str> {
        [
            (self.filters.given, "--include and --exclude"),
            (self.fail_fast, "--fail-fast"),
            (self.follow_symlinks, "--follow-symlinks"),
            (self.check_names_first, "--check-names-first"),
            (self.objects_at_once.is_some(), "--objects-at-once"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }
}

/// `--include` and `--exclude`, in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// The resulting patterns.
    pub globs: Globs,
    /// Whether at least one flag was given.
    pub given: bool,
}

impl Args for Filters {
    fn augment_args(command: Command) -> Command {
        let flag = |name: &'static str, help: &'static str| {
            Arg::new(name).long(name).value_name("GLOB").action(ArgAction::Append).help(help)
        };
        command
            .arg(flag(
                "exclude",
                "Leave out names below SRC that match; the last of all --exclude and --include decides",
            ))
            .arg(flag(
                "include",
                "Include names that match, also after an --exclude: * matches any text, ? one character, [ab] a or b",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Filters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let of = |name: &'static str| {
            let places = matches.indices_of(name).into_iter().flatten();
            let patterns = matches.get_many::<String>(name).into_iter().flatten();
            places.zip(patterns).map(move |(at, pattern)| (at, name == "include", pattern))
        };
        let mut all: Vec<(usize, bool, &String)> = of("include").chain(of("exclude")).collect();
        all.sort_unstable_by_key(|(at, _, _)| *at);
        let given = !all.is_empty();
        let globs = all.into_iter().fold(Globs::new(), |globs, (_, include, pattern)| match include {
            true => globs.include(pattern),
            false => globs.exclude(pattern),
        });
        Ok(Self { globs, given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
