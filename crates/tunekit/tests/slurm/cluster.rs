//! [`Cluster`]: a throw-away Slurm on this machine, of one controller and several virtual nodes.
//!
//! Everything lives in a temporary folder and on loopback. A node is a PID namespace of its own: with its first process
//! the kernel kills all the others, so that [`Cluster::kill_node`] is what a power failure would be, and dropping the
//! value, or killing the test, leaves no process. Options: <https://slurm.schedmd.com/slurm.conf.html>.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Debian's packages slurmctld, slurmd, slurm-client and munge have these, or every Debian has them.
const PROGRAMS: [&str; 10] =
    ["munged", "sbatch", "scancel", "setpriv", "sinfo", "slurmctld", "slurmd", "squeue", "srun", "unshare"];

/// The longest that a step of the start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// In front of a daemon's command: the kernel kills the daemon with the thread that started it, and all that the daemon
/// started with the daemon.
const ALONE: [&str; 10] =
    ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--pid", "--mount-proc", "--fork", "--kill-child=KILL", "--"];

/// A running cluster.
pub(crate) struct Cluster {
    /// By name: `munged`, `slurmctld`, and the nodes.
    daemons: Vec<(String, Child)>,
    folder: TempDir,
}

/// The reason why this machine cannot have a cluster.
pub(crate) fn missing() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        return Some(format!("{missing:?} are not on the PATH"));
    }
    let tried = Command::new(ALONE[4]).args(&ALONE[5..]).arg("true").output().unwrap();
    let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    (!tried.status.success()).then(|| format!("a node needs a PID namespace of its own: {said}"))
}

impl Cluster {
    /// Starts the daemons and waits until every node is idle, which takes some 3 s. The test's own thread must call
    /// this: the kernel ends the daemons with it.
    ///
    /// # Panics
    ///
    /// With the end of the daemons' logs, when one of them does not come up.
    pub(crate) fn start(nodes: usize) -> Self {
        let mut this = Self { daemons: Vec::new(), folder: tempfile::tempdir().unwrap() };
        // munged refuses a folder that others cannot pass through.
        fs::set_permissions(this.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["state", "spool", "log"] {
            fs::create_dir(this.path(name)).unwrap();
        }
        let mut key = [0; 128];
        File::open("/dev/urandom").unwrap().read_exact(&mut key).unwrap();
        File::options().create_new(true).write(true).mode(0o600).open(this.path("munge.key")).unwrap();
        fs::write(this.path("munge.key"), key).unwrap();
        let own = |option: &str, name: &str| format!("--{option}={}", this.path(name).display());
        let munged: Vec<String> = [
            ("key-file", "munge.key"),
            ("socket", "munge.sock"),
            ("pid-file", "munged.pid"),
            ("log-file", "log/munged"),
            ("seed-file", "munge.seed"),
        ]
        .map(|(option, name)| own(option, name))
        .into();
        let munged: Vec<&str> =
            ["munged", "--foreground", "--force"].into_iter().chain(munged.iter().map(String::as_str)).collect();
        this.daemon("munged", &munged);
        this.until("munged listens", |this| this.path("munge.sock").exists());

        fs::write(this.conf(), configuration(this.folder.path(), nodes)).unwrap();
        // `-c`: with no state of an earlier run.
        this.daemon("slurmctld", &["slurmctld", "-D", "-c"]);
        for node in (1..=nodes).map(|number| format!("n{number}")) {
            fs::create_dir(this.path("spool").join(&node)).unwrap();
            this.daemon(&node, &["slurmd", "-D", "-N", &node]);
        }
        this.until("every node is idle", |this| {
            let output = this.command(&["sinfo"]).args(["--noheader", "--Node", "--format=%t"]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).lines().filter(|state| *state == "idle").count() == nodes
        });
        this
    }

    /// For the environment, as `SLURM_CONF`: Slurm's commands then mean this cluster.
    pub(crate) fn conf(&self) -> PathBuf {
        self.path("slurm.conf")
    }

    /// Kills a node with all that runs on it, at once and without a word.
    pub(crate) fn kill_node(&mut self, name: &str) {
        let (_, node) = self.daemons.iter_mut().find(|(daemon, _)| daemon == name).unwrap();
        kill(node);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("SLURM_CONF", self.conf()).stdin(Stdio::null());
        command
    }

    /// In the foreground; what it says goes to its log.
    fn daemon(&mut self, name: &str, words: &[&str]) {
        let log = File::create(self.path("log").join(format!("{name}.out"))).unwrap();
        let mut command = self.command(&[&ALONE[..], words].concat());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.daemons.push((name.to_owned(), child));
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            let ended =
                self.daemons.iter_mut().find_map(|(name, daemon)| Some((name.clone(), daemon.try_wait().unwrap()?)));
            let late = began.elapsed() > PATIENCE;
            assert!(ended.is_none() && !late, "before {what} ({ended:?}):\n{}", self.logs());
            sleep(Duration::from_millis(100));
        }
    }

    /// The last lines of every log.
    pub(crate) fn logs(&self) -> String {
        let mut all = String::new();
        for entry in fs::read_dir(self.path("log")).unwrap().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(8)..].join("\n");
            write!(all, "{}:\n{last}\n", entry.path().display()).unwrap();
        }
        all
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The nodes first, the controller's key holder last.
        for (_, daemon) in self.daemons.iter_mut().rev() {
            kill(daemon);
        }
    }
}

/// Kills a daemon's namespace by its first process, for which `unshare` waits: killed itself, it would leave a zombie.
/// It may have ended by itself; nobody but us has its process id until it was waited for.
fn kill(unshare: &mut Child) {
    let id = unshare.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let killed = children.split_whitespace().map(|first| Command::new("kill").args(["-KILL", first]).status());
    if killed.filter(|status| status.as_ref().is_ok_and(|status| status.success())).count() == 0 {
        let _ = unshare.kill();
    }
    let _ = unshare.wait();
}

/// Ports that nobody listens at now.
fn free_ports(number: usize) -> Vec<u16> {
    let held: Vec<_> = (0..number).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn configuration(folder: &Path, nodes: usize) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().split('.').next().unwrap();
    let ports = free_ports(nodes + 1);
    let folder = folder.display();
    let mut text = format!(
        "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/linear
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdTimeout=5
SlurmctldTimeout=10
KillWait=2
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
PartitionName=trials Nodes=ALL Default=YES OverSubscribe=EXCLUSIVE MaxTime=INFINITE State=UP
",
        port = ports[nodes],
    );
    for (number, port) in (1..=nodes).zip(&ports) {
        writeln!(text, "NodeName=n{number} NodeHostName={host} NodeAddr=127.0.0.1 Port={port} CPUs=1").unwrap();
    }
    text
}
