//! `s3tune cp --recursive` and `s3tune sync` from outside, on real sockets.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use s3lab::{Lab, RequestKind, Server};
use tempfile::TempDir;

/// A lab with some objects, and a folder to work in.
struct Scene {
    lab: Lab,
    server: Server,
    place: TempDir,
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Scene {
    async fn new(keys: &[(&str, u64)]) -> Self {
        let lab = Lab::builder().bucket("lab").bucket("other").keep_requests(1000);
        let lab = keys.iter().fold(lab, |lab, (key, size)| lab.synthetic("lab", *key, *size)).build().unwrap();
        let server = Server::start(&lab, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { lab, server, place: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    async fn s3tune(&self, line: &str) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3tune"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"AWS_")) {
            command.env_remove(name);
        }
        command
            .args(line.split(' ').map(OsStr::new))
            .env_remove("RUST_LOG")
            .env("AWS_ACCESS_KEY_ID", self.lab.access_key())
            .env("AWS_SECRET_ACCESS_KEY", self.lab.secret_key())
            .env("AWS_ENDPOINT_URL", self.server.endpoint())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .current_dir(self.place.path())
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The bytes of the objects whose keys begin with `prefix`, under the rest of the key.
    fn objects(&self, bucket: &str, prefix: &str, names: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let bytes = |name: &&str| self.lab.object(bucket, &format!("{prefix}{name}")).unwrap();
        names.iter().map(|name| ((*name).to_owned(), bytes(name))).collect()
    }
}

impl Ended {
    fn assert_done(&self, says: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        assert!(self.stdout.contains(says), "{self:?}");
    }

    fn assert_usage(&self, says: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!((self.stderr.lines().count(), self.stdout.as_str()), (1, ""), "{self:?}");
        assert!(self.stderr.contains(says), "{says} is not in {self:?}");
    }
}

fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, tree: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(root, &path, tree),
                false => {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    tree.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }

    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_comes_down_and_stays_in_step() {
    let scene = Scene::new(&[("p/a", 5), ("p/b/c.txt", 70_000), ("p/b/d", 7), ("q", 1)]).await;
    let dry = scene.s3tune("cp --recursive s3://lab/p x --dry-run --exclude *.txt").await;
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(0), ""), "{dry:?}");
    let lines: Vec<&str> = dry.stdout.lines().collect();
    assert_eq!(lines[..2], ["would download s3://lab/p/a, 5 B", "would download s3://lab/p/b/d, 7 B"]);
    assert!(lines[2].starts_with("2 objects, 12 B would be transferred"), "{dry:?}");
    assert!(!scene.path("x").exists());

    scene.s3tune("cp --recursive s3://lab/p x --request-payer --keep-times").await.assert_done("3 objects, 68.4 KiB");
    assert_eq!(tree(&scene.path("x")), scene.objects("lab", "p/", &["a", "b/c.txt", "b/d"]));
    scene.s3tune("sync s3://lab/p/ x").await.assert_done("0 objects, 0 B in");
    fs::write(scene.path("x/new"), "x").unwrap();
    fs::write(scene.path("x/a"), "x").unwrap();
    scene.s3tune("sync s3://lab/p/ x --delete").await.assert_done("1 object, 5 B in");
    assert_eq!(tree(&scene.path("x")), scene.objects("lab", "p/", &["a", "b/c.txt", "b/d"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_told_and_the_others_are_there() {
    let scene = Scene::new(&[("p/a", 5), ("p/../b", 5), ("p/c", 5)]).await;
    let ended = scene.s3tune("cp --recursive s3://lab/p x").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("2 objects") && ended.stdout.contains("1 failed"), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(lines[0].starts_with("s3tune: failed: s3://lab/p/../b has `..`"), "{ended:?}");
    assert_eq!(tree(&scene.path("x")).len(), 2);
    let ended = scene.s3tune("cp --recursive s3://lab/p y --fail-fast").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(!scene.path("y").exists());
    let ended = scene.s3tune("cp --recursive s3://gone/p y").await;
    assert!(ended.code == Some(1) && ended.stderr.contains("NoSuchBucket"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_goes_up_and_across() {
    let scene = Scene::new(&[("other/thing", 3)]).await;
    for (name, text) in [("src/a", "first"), ("src/b/c d.txt", "second"), ("src/b/é", "third")] {
        fs::create_dir_all(scene.path(name).parent().unwrap()).unwrap();
        fs::write(scene.path(name), text).unwrap();
    }
    fs::create_dir(scene.path("src/empty")).unwrap();
    std::os::unix::fs::symlink("a", scene.path("src/link")).unwrap();
    let names = ["a", "b/c d.txt", "b/é"];
    scene.s3tune("cp --recursive src s3://lab/up").await.assert_done("3 objects");
    assert_eq!(scene.objects("lab", "up/", &names), tree_of(&scene, "src", &names));
    assert_eq!(scene.lab.object("lab", "up/empty/"), Some(Vec::new()));
    assert_eq!(scene.lab.object("lab", "up/link"), None);
    scene.s3tune("sync src s3://lab/up").await.assert_done("0 objects");
    fs::write(scene.path("src/a"), "other").unwrap();
    fs::remove_file(scene.path("src/b/é")).unwrap();
    scene.s3tune("sync src s3://lab/up --checksum --delete").await.assert_done("1 object, 5 B");
    assert_eq!(scene.lab.object("lab", "up/a").unwrap(), b"other");
    assert_eq!(scene.lab.object("lab", "up/b/é"), None);
    scene.s3tune("cp --recursive s3://lab/up s3://other/there/").await.assert_done("2 objects");
    assert_eq!(scene.objects("other", "there/", &["a", "b/c d.txt"]), tree_of(&scene, "src", &["a", "b/c d.txt"]));
    let ended = scene.s3tune("cp --recursive s3://lab/up s3://lab/up/again").await;
    assert!(ended.code == Some(1) && ended.stderr.contains("overlap"), "{ended:?}");
}

fn tree_of(scene: &Scene, folder: &str, names: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let read = |name: &&str| ((*name).to_owned(), fs::read(scene.path(folder).join(name)).unwrap());
    names.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_is_a_line() {
    let scene = Scene::new(&[]).await;
    for (line, says) in [
        ("cp --recursive x y", "s3://BUCKET/PREFIX"),
        ("cp --recursive s3://lab/p -", "not a folder"),
        ("cp --recursive s3://lab/p x --version-id 3", "--version-id"),
        ("cp --recursive s3://lab/p x --follow-symlinks", "--follow-symlinks"),
        ("cp --recursive x s3://lab/p --check-names-first", "--check-names-first"),
        ("cp --recursive s3://lab/p s3://lab/q --keep-times", "--keep-times"),
        ("cp s3://lab/p x --exclude *", "--recursive"),
        ("sync s3://lab/p x --size-only --update", "--update"),
        ("sync s3:///p x", "names no bucket"),
        ("sync s3://lab/p x --config gone.toml", "gone.toml"),
    ] {
        scene.s3tune(line).await.assert_usage(says);
    }
    let lists = scene.lab.requests().iter().filter(|request| request.kind == RequestKind::ListObjects).count();
    assert_eq!(lists, 0, "nothing was sent");
}
