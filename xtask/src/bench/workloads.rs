//! The workloads: objects, networks and entrants. Plain values; nothing here runs.

pub(super) const BUCKET: &str = "lab";

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The objects of one run, and their target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// One object into a file.
    File { bytes: u64 },
    /// One object that is received and discarded.
    Null { bytes: u64 },
    /// A folder of objects of one size into a folder of files.
    Many { count: u32, bytes: u64 },
}

impl Job {
    /// Bytes of content.
    pub(super) fn total(self) -> u64 {
        match self {
            Self::File { bytes } | Self::Null { bytes } => bytes,
            Self::Many { count, bytes } => u64::from(count) * bytes,
        }
    }

    /// The object's key, or the beginning of the folder's keys.
    pub(super) fn key(self) -> String {
        match self {
            Self::File { bytes } | Self::Null { bytes } => format!("one/{bytes}"),
            Self::Many { count, bytes } => format!("many/{count}x{bytes}/"),
        }
    }

    /// The argument that makes the server hold it.
    pub(super) fn object(self) -> String {
        match self {
            Self::File { bytes } | Self::Null { bytes } => format!("{}={bytes}", self.key()),
            Self::Many { count, bytes } => format!("{}*{count}={bytes}", self.key()),
        }
    }
}

/// The network between server and client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// Loopback as it is.
    Plain,
    /// Loopback, encrypted.
    Tls,
    /// A network as s3lab emulates it: its profile as TOML.
    Shaped(&'static str),
}

impl Network {
    /// The connections of the ceiling on a network with slow connections: enough to fill the link, with some reserve.
    /// `None` elsewhere, because its own number is right.
    fn ceiling_connections(self) -> Option<u32> {
        matches!(self, Self::Shaped(_)).then_some(32)
    }
}

/// The entrants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    /// Every engine, on the same job.
    All(Job),
    /// Only ours, on one job after the other: label, job, concurrency where it is not the default.
    Ours(Vec<(String, Job, Option<u32>)>),
}

/// A table of the report.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    /// Its name on the command line, and in the document's markers.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Stated above the table.
    pub(super) question: &'static str,
    pub(super) network: Network,
    field: Field,
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entrant {
    pub(super) label: String,
    /// A name from the table of engines.
    pub(super) engine: &'static str,
    pub(super) job: Job,
    pub(super) concurrency: Option<u32>,
}

impl Workload {
    /// The rows, as far as their engines were asked for.
    pub(super) fn entrants(&self, engines: &[&'static str]) -> Vec<Entrant> {
        match &self.field {
            Field::All(job) => engines
                .iter()
                .map(|engine| Entrant {
                    label: (*engine).to_owned(),
                    engine,
                    job: *job,
                    concurrency: self.network.ceiling_connections().filter(|_| *engine == "ceiling"),
                })
                .collect(),
            Field::Ours(rows) => rows
                .iter()
                .map(|(label, job, concurrency)| Entrant {
                    label: label.clone(),
                    engine: "s3xfer",
                    job: *job,
                    concurrency: *concurrency,
                })
                .collect(),
        }
    }

    /// Whether its rows are settings of one engine, not engines.
    pub(super) fn is_sweep(&self) -> bool {
        matches!(self.field, Field::Ours(_))
    }
}

/// All of them, in the document's order.
pub(super) fn all() -> Vec<Workload> {
    let race =
        |name, title, question, network, job| Workload { name, title, question, network, field: Field::All(job) };
    let sizes = [256 * MIB, GIB, 4 * GIB, 30 * GIB];
    let sizes = sizes.map(|bytes| (size(bytes), Job::Null { bytes }, None)).to_vec();
    let concurrencies = [16_u32, 32, 64, 128, 256, 512];
    let concurrencies =
        concurrencies.map(|n| (format!("max_concurrency {n}"), Job::File { bytes: 3 * GIB }, Some(n))).to_vec();
    vec![
        race(
            "file-3g",
            "3 GiB into a file",
            "The cost of an engine where the network is no limit.",
            Network::Plain,
            Job::File { bytes: 3 * GIB },
        ),
        race(
            "file-256m",
            "256 MiB into a file",
            "The same for a shorter download, where starting up and finding the pace weigh more.",
            Network::Plain,
            Job::File { bytes: 256 * MIB },
        ),
        race(
            "null-3g",
            "3 GiB into nothing",
            "The same without the disk.",
            Network::Plain,
            Job::Null { bytes: 3 * GIB },
        ),
        race(
            "many-64k",
            "10,000 objects of 64 KiB",
            "The cost of a request.",
            Network::Plain,
            Job::Many { count: 10_000, bytes: 64 << 10 },
        ),
        race(
            "many-4m",
            "200 objects of 4 MiB",
            "Objects of the size of a part.",
            Network::Plain,
            Job::Many { count: 200, bytes: 4 * MIB },
        ),
        race(
            "tls-3g",
            "3 GiB into a file over TLS",
            "The cost of decryption and of the code around it.",
            Network::Tls,
            Job::File { bytes: 3 * GIB },
        ),
        race("tls-1g", "1 GiB into a file over TLS", "The same, shorter.", Network::Tls, Job::File { bytes: GIB }),
        race(
            "shaped-1g",
            "1 GiB into a file over an emulated network",
            "The use of a link where a connection is slow: 20 MB/s a connection, 400 MB/s together, 30 ms to the\n\
             first byte (log-normal, sigma 0.4), 60 ms to connect. The link alone takes 2.68 s. The ceiling has 32\n\
             connections here.",
            Network::Shaped(
                "first_byte_ms = 30.0\nfirst_byte_sigma = 0.4\nconnect_ms = 60.0\nconnection_mb_per_s = 20.0\nlink_mb_per_s = 400.0\n",
            ),
            Job::File { bytes: GIB },
        ),
        Workload {
            name: "size",
            title: "Over object size",
            question: "Throughput and memory by the object's size. Ours only, into nothing.",
            network: Network::Plain,
            field: Field::Ours(sizes),
        },
        Workload {
            name: "concurrency",
            title: "Over max_concurrency",
            question: "The cost of more requests at once where they gain nothing. Ours only, 3 GiB into a file.",
            network: Network::Plain,
            field: Field::Ours(concurrencies),
        },
    ]
}

/// A size as people say it: 256 MiB, 30 GiB.
fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(GIB) { format!("{} GiB", bytes / GIB) } else { format!("{} MiB", bytes / MIB) }
}

/// The sections of `moves`, in the document's order.
pub(super) const MOVES: [&str; 7] =
    ["upload", "upload-shaped", "files-up", "files-down", "listing", "first-object", "sync"];

/// Every name a workload is called by.
pub(super) fn names() -> Vec<&'static str> {
    all().iter().map(|workload| workload.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_are_fit_for_a_marker() {
        let mut names = names();
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')));
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn jobs_with_other_bytes_have_other_keys() {
        let a = Job::Many { count: 10_000, bytes: 64 << 10 };
        assert_eq!((a.total(), a.object().as_str()), (655_360_000, "many/10000x65536/*10000=65536"));
        assert_ne!(a.key(), Job::Many { count: 200, bytes: 64 << 10 }.key());
        assert_ne!(Job::File { bytes: 1 }.key(), Job::Null { bytes: 2 }.key());
    }

    #[test]
    fn a_sweep_has_only_ours_and_a_race_who_was_asked_for() {
        for workload in all() {
            let entrants = workload.entrants(&["ceiling", "tm"]);
            let engines: Vec<&str> = entrants.iter().map(|entrant| entrant.engine).collect();
            if workload.is_sweep() {
                assert!(engines.iter().all(|engine| *engine == "s3xfer"), "{}", workload.name);
            } else {
                assert_eq!(engines, ["ceiling", "tm"], "{}", workload.name);
                // Only the hand-written one is told how many connections fill the link: it finds nothing by itself.
                let told: Vec<bool> = entrants.iter().map(|entrant| entrant.concurrency.is_some()).collect();
                assert_eq!(told, [matches!(workload.network, Network::Shaped(_)), false], "{}", workload.name);
            }
        }
    }

    #[test]
    fn sizes_are_said_in_whole_units() {
        assert_eq!((size(256 * MIB).as_str(), size(30 * GIB).as_str()), ("256 MiB", "30 GiB"));
    }
}
