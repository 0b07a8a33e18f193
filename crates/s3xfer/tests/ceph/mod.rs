//! [`Radosgw`]: a throw-away Ceph on this machine, of one monitor, one OSD in memory and one S3 gateway.
//!
//! Ceph is an S3 that shares no line with the lab: a test that passes against both is not an agreement of the project
//! with itself. Everything lives in a temporary folder and on loopback; the daemons are children of this process, are
//! killed with the value, and by the kernel where the test is killed. Options:
//! <https://docs.ceph.com/en/latest/rados/configuration/>.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Programs of Debian's packages ceph-mon, ceph-osd and radosgw, of their dependencies, and of every Debian.
const PROGRAMS: [&str; 9] =
    ["ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin", "setpriv", "timeout"];

/// The longest step of the start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway.
pub(crate) struct Radosgw {
    pub(crate) endpoint: String,
    pub(crate) access: &'static str,
    pub(crate) secret: &'static str,
    /// Killed in this order, before their folder goes.
    daemons: Vec<Child>,
    folder: TempDir,
}

/// Programs that this machine does not have.
pub(crate) fn missing() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    PROGRAMS.into_iter().filter(|name| !has(name)).collect()
}

impl Radosgw {
    /// Starts all three, which takes some 20 s.
    ///
    /// # Panics
    ///
    /// With the end of the daemons' logs, when one of them does not come up.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports();
        let mut this = Self {
            endpoint: format!("http://127.0.0.1:{}", ports[0]),
            access: "test-access",
            secret: "test-secret-0123456789",
            daemons: Vec::new(),
            folder,
        };
        for name in ["mon", "osd", "rgw"] {
            fs::create_dir(this.path(name)).unwrap();
        }
        let cluster = uuid();
        fs::write(this.path("ceph.conf"), configuration(this.folder.path(), &cluster, ports)).unwrap();
        this.make_keys();
        let (monmap, address) = (this.text("monmap"), format!("[v2:127.0.0.1:{}]", ports[1]));
        this.run(&["monmaptool", "--create", "--fsid", &cluster, "--addv", "a", &address, &monmap]);
        this.run(&["ceph-mon", "--mkfs", "-i", "a", "--monmap", &monmap, "--keyring", &this.text("keyring")]);
        this.daemon(&["ceph-mon", "-f", "-i", "a"]);

        let osd = uuid();
        this.until("the monitor answers", |this| {
            this.command(&["ceph", "--connect-timeout", "5", "osd", "new", &osd, "0"]).status().unwrap().success()
        });
        this.run(&["ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", &osd]);
        this.daemon(&["ceph-osd", "-f", "-i", "0"]);
        // Waits for the OSD, as it makes the gateway's pools.
        let keys = ["--access-key", this.access, "--secret-key", this.secret];
        this.run(&[&["radosgw-admin", "user", "create", "--uid=tester", "--display-name=tester"][..], &keys].concat());
        this.daemon(&["radosgw", "-f", "-n", "client.rgw"]);
        this.until("the gateway listens", |_| TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).is_ok());
        this
    }

    fn make_keys(&self) {
        let keys: [(&str, &[&str]); 4] = [
            ("mon.", &["mon", "allow *"]),
            ("client.admin", &["mon", "allow *", "osd", "allow *", "mgr", "allow *"]),
            ("osd.0", &["mon", "allow profile osd", "osd", "allow *"]),
            ("client.rgw", &["mon", "allow rw", "osd", "allow rwx"]),
        ];
        let keyring = self.text("keyring");
        for (number, (name, rights)) in keys.into_iter().enumerate() {
            let mut words = vec!["ceph-authtool", keyring.as_str(), "--gen-key", "-n", name];
            words.extend((number == 0).then_some("--create-keyring"));
            words.extend(rights.chunks(2).flat_map(|right| ["--cap", right[0], right[1]]));
            self.run(&words);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A command of this cluster; its output goes to its log.
    fn command(&self, words: &[&str]) -> Command {
        let log = File::options().create(true).append(true).open(self.path("commands.out")).unwrap();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("CEPH_CONF", self.path("ceph.conf")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    fn run(&self, words: &[&str]) {
        let patience = PATIENCE.as_secs().to_string();
        let ended = self.command(&[&["timeout", &patience], words].concat()).status().unwrap();
        assert!(ended.success(), "{words:?} ended with {ended}:\n{}", self.logs());
    }

    /// In the foreground; the kernel ends it with the thread that called this.
    fn daemon(&mut self, words: &[&str]) {
        let child = self.command(&[&["setpriv", "--pdeathsig", "KILL", "--"], words].concat()).spawn().unwrap();
        self.daemons.insert(0, child);
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            let ended = self.daemons.iter_mut().find_map(|daemon| daemon.try_wait().unwrap());
            let late = began.elapsed() > PATIENCE;
            assert!(ended.is_none() && !late, "before {what} ({ended:?}):\n{}", self.logs());
            sleep(Duration::from_millis(200));
        }
    }

    /// The last lines of every log.
    fn logs(&self) -> String {
        let mut all = String::new();
        for entry in fs::read_dir(self.folder.path()).unwrap().flatten() {
            if let Ok(text) = fs::read_to_string(entry.path())
                && entry.path().extension().is_some_and(|end| end == "out" || end == "log")
            {
                let lines: Vec<&str> = text.lines().collect();
                all += &format!("{}:\n{}\n", entry.path().display(), lines[lines.len().saturating_sub(8)..].join("\n"));
            }
        }
        all
    }
}

impl Drop for Radosgw {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            // It may have ended by itself; then there is nothing to kill, and nobody but us has its process id.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Two that nobody listens at now.
fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn uuid() -> String {
    fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().trim().to_owned()
}

fn configuration(folder: &Path, cluster: &str, [gateway, monitor]: [u16; 2]) -> String {
    let folder = folder.display();
    format!(
        "[global]
fsid = {cluster}
mon host = [v2:127.0.0.1:{monitor}/0]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
ms bind port min = 20000
ms bind port max = 32000
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
crash dir = {folder}/crash
keyring = {folder}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 0
auth allow insecure global id reclaim = false
[mon]
mon data = {folder}/mon
mon cluster log file = {folder}/cluster.log
[osd]
osd data = {folder}/osd
osd objectstore = memstore
osd class load list = *
osd class default list = *
memstore device bytes = 4294967296
memstore page set = false
[client.rgw]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{gateway}
rgw thread pool size = 64
"
    )
}
