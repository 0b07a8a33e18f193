//! Callers that hold every thread of the runtime that may block, as a web framework's synchronous handlers do
//! (`spawn_blocking(|| handle.block_on(download))`): the engine must not need another of these threads to end.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use crate::wire::{Http, sdk};
use s3lab::{Lab, Server, SyntheticObject};
use s3xfer::{Client, Durability, TransferConfig, TransferReport, WriteAt};
use tokio::runtime::{Builder, Handle, Runtime};

const SIZE: u64 = 4 << 20;
const PART: u64 = 1 << 20;
/// A download that has not ended by then never will; on a quiet machine each takes a fraction of a second.
const FOR_EVER: Duration = Duration::from_secs(60);

struct Scene {
    /// The server's: its work must not wait for the client's callers.
    _runtime: Runtime,
    _server: Server,
    client: Client,
}

impl Scene {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let lab = Lab::builder().bucket("lab").synthetic("lab", "key", SIZE).build().unwrap();
        let server = runtime.block_on(Server::start(&lab, "127.0.0.1:0".parse().unwrap())).unwrap();
        // By name, so that it has to be looked up.
        let endpoint = format!("http://localhost:{}", server.addr().port());
        let config = TransferConfig::builder().adaptive_concurrency(false);
        let config = config.multipart_threshold(1).multipart_chunksize(PART).max_concurrency(4);
        let client = Client::new(sdk(&endpoint, Some((lab.access_key(), lab.secret_key())), Http::Ours));
        Self { client: client.with_config(config.build().unwrap()), _runtime: runtime, _server: server }
    }
}

/// A caller's own sink; behind it a file, so that its bytes can be looked at.
struct Positions(fs::File);

impl WriteAt for Positions {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // Sinks that are asynchronous themselves look for the runtime they are called from.
        Handle::try_current().map_err(io::Error::other)?;
        self.0.write_all_at(bytes, offset)
    }
}

/// Whether `call` comes to an end. A call that hangs is left to the end of the process.
fn ended<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(call()));
    match told.recv_timeout(FOR_EVER) {
        Ok(value) => Some(value),
        Err(mpsc::RecvTimeoutError::Timeout) => None,
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("it panicked"),
    }
}

type Call = Box<dyn FnOnce(&Handle) -> TransferReport + Send>;

/// Runs `calls` at once, each on one of the runtime's blocking threads, and none before they hold all of these.
fn on_all_blocking_threads(runtime: Runtime, calls: Vec<Call>) -> Vec<TransferReport> {
    let ready = Arc::new(Barrier::new(calls.len()));
    let callers: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let (handle, ready) = (runtime.handle().clone(), ready.clone());
            runtime.spawn_blocking(move || {
                ready.wait();
                call(&handle)
            })
        })
        .collect();
    runtime.block_on(futures::future::try_join_all(callers)).unwrap()
}

fn assert_whole(path: &Path) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes.len() as u64, SIZE, "{}", path.display());
    SyntheticObject::named("lab", "key", SIZE).verify(0, &bytes).unwrap();
}

/// Each kind of target that needs a thread which may block, at the same time.
fn downloads(client: &Client, folder: &Path) -> Vec<Call> {
    let download = || client.download("lab", "key");
    let file = download().to_file(folder.join("file"));
    let resumed = download().to_file(folder.join("resumed")).resume(true).durability(Durability::Synced);
    let sink = Positions(fs::File::create(folder.join("sink")).unwrap());
    let sink = download().to_write_at(sink);
    // A device that takes everything, and is not the one of which the engine knows that.
    let device = download().to_file("/dev/zero");
    vec![
        Box::new(|handle: &Handle| handle.block_on(file.into_future()).unwrap()),
        Box::new(|handle: &Handle| handle.block_on(resumed.into_future()).unwrap()),
        Box::new(|handle: &Handle| handle.block_on(sink).unwrap()),
        Box::new(|handle: &Handle| handle.block_on(device.into_future()).unwrap()),
    ]
}

fn assert_all_end(builder: &mut Builder) {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    let calls = downloads(&scene.client, folder.path());
    let runtime = builder.enable_all().max_blocking_threads(calls.len()).build().unwrap();
    let reports = ended(move || on_all_blocking_threads(runtime, calls)).expect("a download never ends");
    for report in reports {
        assert_eq!((report.bytes, report.parts), (SIZE, SIZE / PART));
    }
    for name in ["file", "resumed", "sink"] {
        assert_whole(&folder.path().join(name));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn downloads_end_though_their_callers_hold_all_blocking_threads() {
    assert_all_end(Builder::new_multi_thread().worker_threads(2));
}

#[test]
fn downloads_end_though_their_callers_hold_all_blocking_threads_of_a_runtime_of_one_thread() {
    assert_all_end(&mut Builder::new_current_thread());
}

/// Far more of them than there are processors, and as many as a runtime has by default and more behind these.
#[test]
#[ignore = "600 downloads at once need 512 threads and ten seconds; run it by hand"]
fn six_hundred_callers_on_the_runtimes_512_threads_all_end() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let reports = ended(move || {
        let (client, path) = (scene.client.clone(), folder.path().to_owned());
        let callers: Vec<_> = (0..600)
            .map(|number| {
                let (handle, client, target) =
                    (runtime.handle().clone(), client.clone(), path.join(number.to_string()));
                runtime.spawn_blocking(move || {
                    let report = handle.block_on(client.download("lab", "key").to_file(&target).into_future());
                    assert_whole(&target);
                    fs::remove_file(target).unwrap();
                    report.unwrap()
                })
            })
            .collect();
        runtime.block_on(futures::future::try_join_all(callers)).unwrap()
    });
    assert_eq!(reports.expect("a download never ends").len(), 600);
}
