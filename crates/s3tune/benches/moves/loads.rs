//! The sections: the load, the network, and the check of the result.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use s3lab::{NetworkProfile, RequestKind, SyntheticObject};
use tokio::process::Command;
use tokio::time::sleep;

use crate::Section;
use crate::place::{BUCKET, Place, whole};
use crate::programs::{Job, command, versions};
use crate::race::{self, Column, Row, below, median};

const MIB: u64 = 1 << 20;
const GIB: f64 = (1_u64 << 30) as f64;
/// The network of the section of shaped downloads: a connection carries a twentieth of the link.
const SHAPED: &str = "first_byte_ms = 30.0\nfirst_byte_sigma = 0.4\nconnect_ms = 60.0\nconnection_mb_per_s = 20.0\n\
                      link_mb_per_s = 400.0\n";
/// A program that runs longer hangs.
const LIMIT_S: u64 = 900;

/// Share of the full load.
pub(crate) struct Size {
    pub(crate) rounds: u32,
    /// A tenth.
    pub(crate) quick: bool,
}

impl Size {
    fn of(&self, all: u64) -> u64 {
        if self.quick { all / 10 } else { all }
    }
}

/// The scratch folder of a section: a log, and the files to upload or to download.
struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub(crate) fn run(section: Section, size: &Size, programs: &[String], folder: &Path) -> Result<String, String> {
    let folder = tempfile::tempdir_in(folder).map_err(|error| format!("failed to make a folder: {error}"))?;
    let scratch = Scratch { folder };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let table = runtime.map_err(|error| error.to_string())?.block_on(async {
        match section {
            Section::Upload => upload(size, programs, &scratch, None, 3072 * MIB).await,
            Section::UploadShaped => upload(size, programs, &scratch, Some(SHAPED), 1024 * MIB).await,
            Section::FilesUp => files(size, programs, &scratch, true).await,
            Section::FilesDown => files(size, programs, &scratch, false).await,
            Section::Listing => listing(size, programs, &scratch).await,
            Section::FirstObject => first_object(size, programs, &scratch).await,
            Section::Sync => sync(size, programs, &scratch).await,
        }
    })?;
    Ok(format!("{table}\n\nBeside s3tune: {}.", versions(programs)))
}

fn rows(programs: &[String], job: &Job, place: &Place) -> Vec<Row> {
    programs.iter().map(|program| Row::new(program, command(program, job, &place.endpoint()))).collect()
}

/// One file to one object.
async fn upload(
    size: &Size,
    programs: &[String],
    scratch: &Scratch,
    network: Option<&str>,
    bytes: u64,
) -> Result<String, String> {
    // The rate of a link shows only after some time.
    let bytes = if network.is_some() { bytes } else { size.of(bytes) };
    let profile = match network {
        None => NetworkProfile::unlimited(),
        Some(text) => NetworkProfile::from_toml(text).map_err(|error| error.to_string())?,
    };
    let link = profile.link_mb_per_s();
    let place = Place::new(profile, []).await?;
    let object = SyntheticObject::new(bytes, bytes);
    let file = scratch.path("source");
    write(&file, &object)?;
    let job = Job::Up { file, key: "new".to_owned() };
    let mut rows = rows(programs, &job, &place);
    // A program may find its work done already.
    let before = || {
        place.lab.remove(BUCKET, "new");
        Ok(())
    };
    let check = |_: &str| place.check("new", &object);
    race::run(&place, &mut rows, (size.rounds, LIMIT_S), &scratch.path("log"), before, check).await?;
    let gib = bytes as f64 / GIB;
    let share = move |wall_s: f64| link.map_or(f64::NAN, |link| bytes as f64 / wall_s / link / 1e6);
    let cpu: Column<'_> = ("CPU s/GiB", &|costs| format!("{:.2}", costs.cpu_s / gib));
    let peak: Column<'_> = ("peak MiB", &|costs| format!("{:.0}", costs.peak_mib));
    let rate: Column<'_> = match link {
        None => ("GiB/s", &|costs| format!("{:.2}", gib / costs.wall_s)),
        Some(_) => ("share of the link", &|costs| format!("{:.2}", share(costs.wall_s))),
    };
    Ok(format!("{}\n\n{:.2} GiB from a file.", race::table(&rows, &[rate, cpu, peak]), gib))
}

/// Small files, up or down.
async fn files(size: &Size, programs: &[String], scratch: &Scratch, up: bool) -> Result<String, String> {
    const BYTES: u64 = 16 << 10;
    let count = size.of(20_000);
    let name = |n: u64| format!("{:02}/{n:06}.bin", n % 50);
    let key = |n: u64| format!("files/{}", name(n));
    let objects = (0..if up { 0 } else { count }).map(|n| (key(n), BYTES));
    let place = Place::new(NetworkProfile::unlimited(), objects).await?;
    let object = |n: u64| SyntheticObject::named(BUCKET, &key(n), BYTES);
    let folder = scratch.path("files");
    let job = match up {
        true => {
            (0..count).try_for_each(|n| write(&folder.join(name(n)), &object(n)))?;
            Job::FolderUp { folder: folder.clone(), prefix: "files/".to_owned() }
        }
        false => Job::FolderDown { prefix: "files/".to_owned(), folder: folder.clone() },
    };
    let mut rows = rows(programs, &job, &place);
    let before = || match up {
        true => {
            place.lab.remove(BUCKET, "files/");
            Ok(())
        }
        false => clear(&folder),
    };
    let check = |_: &str| {
        (0..count).try_for_each(|n| match up {
            true => place.check(&key(n), &object(n)),
            false => {
                let path = folder.join(name(n));
                let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                whole(&path.display().to_string(), &bytes, &object(n))
            }
        })
    };
    race::run(&place, &mut rows, (size.rounds, LIMIT_S), &scratch.path("log"), before, check).await?;
    let rate: Column<'_> = ("files/s", &|costs| format!("{:.0}", count as f64 / costs.wall_s));
    let cpu: Column<'_> = ("CPU ms/file", &|costs| format!("{:.2}", costs.cpu_s * 1e3 / count as f64));
    let peak: Column<'_> = ("peak MiB", &|costs| format!("{:.0}", costs.peak_mib));
    Ok(format!("{}\n\n{count} files of 16 KiB.", race::table(&rows, &[rate, cpu, peak])))
}

/// Keys of one flat prefix.
fn keys(count: u64) -> impl Iterator<Item = (String, u64)> {
    (0..count).map(|n| (format!("keys/img-{n:08}.jpg"), 1))
}

/// Answers take a while, as everywhere but on loopback.
fn distant() -> Result<NetworkProfile, String> {
    NetworkProfile::unlimited().with_first_byte(30.0, 0.4).map_err(|error| error.to_string())
}

async fn listing(size: &Size, programs: &[String], scratch: &Scratch) -> Result<String, String> {
    let count = size.of(1_000_000);
    let place = Place::new(distant()?, keys(count)).await?;
    let job = Job::List { prefix: "keys/".to_owned() };
    let mut rows = rows(programs, &job, &place);
    let check = |said: &str| {
        let listed = said.lines().filter(|line| line.contains("img-")).count() as u64;
        if listed == count { Ok(()) } else { Err(format!("{listed} keys instead of {count}")) }
    };
    race::run(&place, &mut rows, (size.rounds, LIMIT_S), &scratch.path("log"), || Ok(()), check).await?;
    let rate: Column<'_> = ("keys/s", &|costs| format!("{:.0}", count as f64 / costs.wall_s));
    let cpu: Column<'_> = ("CPU s", &|costs| format!("{:.2}", costs.cpu_s));
    let peak: Column<'_> = ("peak MiB", &|costs| format!("{:.0}", costs.peak_mib));
    Ok(format!(
        "{}\n\n{count} keys of one flat prefix; s3tune's row is s3xfer's `Client::list`.",
        race::table(&rows, &[rate, cpu, peak])
    ))
}

/// The time from the start of a copy of a large prefix to its first GET. The copy is ended then.
async fn first_object(size: &Size, programs: &[String], scratch: &Scratch) -> Result<String, String> {
    let count = size.of(1_000_000);
    let place = Place::new(distant()?, keys(count)).await?;
    let folder = scratch.path("files");
    let job = Job::FolderDown { prefix: "keys/".to_owned(), folder: folder.clone() };
    let mut rows = rows(programs, &job, &place);
    let gets = || place.lab.stats().count(RequestKind::GetObject);
    for _ in 0..size.rounds {
        for row in &mut rows {
            let Some(words) = row.command().map(<[String]>::to_vec) else { continue };
            clear(&folder)?;
            // Requests of the program before may still arrive.
            sleep(Duration::from_secs(1)).await;
            let before = gets();
            let began = Instant::now();
            let mut child = Command::new(&words[0]);
            // A script may run the program as a child of its own, which is to end with it.
            place.prepare(child.args(&words[1..])).kill_on_drop(true).process_group(0);
            child.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
            child.stderr(std::process::Stdio::null());
            let mut child = child.spawn().map_err(|error| format!("failed to start {}: {error}", words[0]))?;
            let seen = loop {
                if gets() > before {
                    break Ok(began.elapsed().as_secs_f64());
                }
                if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                    break Err(format!("it ended before its first GET: {status}"));
                }
                if began.elapsed().as_secs() > LIMIT_S {
                    break Err(format!("no GET after {LIMIT_S} s"));
                }
                sleep(Duration::from_millis(1)).await;
            };
            // It may have ended by itself.
            if let Some(group) = child.id() {
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status().await;
            }
            let _ = child.kill().await;
            match seen {
                Ok(seconds) => {
                    eprintln!("{:8} {seconds:.3} s", row.program);
                    row.seen.push(seconds);
                }
                Err(why) => row.failed(why),
            }
        }
    }
    let mut text = String::from("| program | s to the first GET | min to max |\n| --- | ---: | ---: |\n");
    for row in rows.iter().filter(|row| !row.seen.is_empty()) {
        let (least, most) =
            row.seen.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), s| (least.min(*s), most.max(*s)));
        let middle = median(row.seen.iter().copied());
        text += &format!("| {} | {middle:.3} | {least:.3} to {most:.3} |\n", row.program);
    }
    let all: Vec<&Row> = rows.iter().collect();
    Ok(format!("{text}{}\n\n{count} keys of one flat prefix, from the start of the program.", below(&all)))
}

/// A folder and a prefix that are the same already.
async fn sync(size: &Size, programs: &[String], scratch: &Scratch) -> Result<String, String> {
    let count = size.of(200_000);
    let name = |n: u64| format!("{:03}/{n:07}.bin", n % 400);
    let folder = scratch.path("files");
    let objects = (0..count).map(|n| (format!("same/{}", name(n)), 1));
    // The objects are made after the files, so that they are no older.
    for n in 0..count {
        write(&folder.join(name(n)), &SyntheticObject::named(BUCKET, &format!("same/{}", name(n)), 1))?;
    }
    sleep(Duration::from_secs(2)).await;
    let place = Place::new(distant()?, objects).await?;
    let job = Job::Sync { folder, prefix: "same/".to_owned() };
    let mut rows = rows(programs, &job, &place);
    let writes = || {
        let stats = place.lab.stats();
        [RequestKind::PutObject, RequestKind::CopyObject].map(|kind| stats.count(kind)).iter().sum::<u64>()
    };
    let until_now = Cell::new(0);
    let before = || {
        until_now.set(writes());
        Ok(())
    };
    let check = |_: &str| match writes() - until_now.get() {
        0 => Ok(()),
        sent => Err(format!("{sent} objects were sent")),
    };
    race::run(&place, &mut rows, (size.rounds, LIMIT_S), &scratch.path("log"), before, check).await?;
    let rate: Column<'_> = ("files/s", &|costs| format!("{:.0}", count as f64 / costs.wall_s));
    let cpu: Column<'_> = ("CPU s", &|costs| format!("{:.2}", costs.cpu_s));
    let peak: Column<'_> = ("peak MiB", &|costs| format!("{:.0}", costs.peak_mib));
    Ok(format!("{}\n\n{count} files of a byte.", race::table(&rows, &[rate, cpu, peak])))
}

fn write(path: &Path, object: &SyntheticObject) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("failed to write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = fs::File::create(path).map_err(failed)?;
    let mut at = 0;
    while at < object.size() {
        let piece = object.slice(at, 1 << 20);
        std::io::Write::write_all(&mut file, &piece).map_err(failed)?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn clear(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("failed to remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}
