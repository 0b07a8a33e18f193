//! Studies in a real Slurm cluster: a throw-away one, and the one that `SLURM_CONF` names.
//!
//! Where Slurm is not installed the test says so and passes; with `TUNEKIT_REQUIRE_SLURM=1` it fails then.

use std::path::Path;
use std::time::Instant;

use super::cluster::{self, Cluster};
use super::{ONE_LINE, STUDY, Site, gives_grace, is_whole, said, wait_for};

fn runs_a_pilot_and_single_jobs(conf: &Path) {
    for mode in ["pilot", "job"] {
        let study = STUDY.replace("max_trials = 12", "max_trials = 4").replace("workers = 3", "workers = 1");
        let study = format!("{study}\n[backend]\nkind = \"slurm\"\nmode = \"{mode}\"\n");
        let site = Site::real(conf, ONE_LINE, &study);
        let output = site.run(&[]);
        assert!(output.status.success(), "{mode}: {}", said(&output));
        is_whole(&site, 4);
    }
}

#[test]
fn the_cluster_that_the_environment_names_runs_a_pilot_and_single_jobs() {
    let Some(conf) = std::env::var_os("SLURM_CONF") else {
        eprintln!("skipped: SLURM_CONF names no cluster");
        return;
    };
    runs_a_pilot_and_single_jobs(conf.as_ref());
}

#[test]
fn a_cluster_runs_a_pilot_and_single_jobs_gives_them_grace_and_loses_a_node_without_losing_a_trial() {
    if let Some(reason) = cluster::missing() {
        let required = std::env::var_os("TUNEKIT_REQUIRE_SLURM").is_some_and(|value| value == "1");
        assert!(!required, "TUNEKIT_REQUIRE_SLURM is 1, but {reason}");
        eprintln!("skipped: {reason}");
        return;
    }
    let mut cluster = Cluster::start(4);
    runs_a_pilot_and_single_jobs(&cluster.conf());
    for mode in ["pilot", "job"] {
        gives_grace(|script, study| Site::real(&cluster.conf(), script, study), mode, false);
    }
    loses_a_node(&mut cluster);
}

/// The node is one that does not run the job's script. Most times the other agents take the trial. Sometimes `srun`
/// meets the broken connection in the middle of a check and ends them all (seen with 22.05); then the tuner submits
/// another pilot of three nodes, which a cluster of four still has.
fn loses_a_node(cluster: &mut Cluster) {
    // The first trial elsewhere than on node 0 never ends by itself. Node 0 leaves it the time to begin.
    let script = r#"
        if [ "$SLURM_NODEID" != 0 ] && mkdir first 2>/dev/null; then
            echo "$SLURMD_NODENAME $TUNEKIT_TRIAL" >lost.part
            mv lost.part lost
            sleep 600
        fi
        until [ -e lost ]; do sleep 0.05; done
        echo "{\"loss\": 1}"
    "#;
    let site = Site::real(&cluster.conf(), script, STUDY);
    let child = site.start(&["run", "s.toml", "--out", "out", "--backend", "slurm"]);
    wait_for("a trial runs on another node than the first", || site.path("lost").exists());
    let lost = site.pids("lost")[0].clone();
    let (node, trial) = lost.split_once(' ').unwrap();
    cluster.kill_node(node);
    let killed = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{}", said(&output), cluster.logs());
    is_whole(&site, 12);
    println!(
        "trial {trial} of the lost node {node} and all others ended {:.1} s later",
        killed.elapsed().as_secs_f64()
    );
}
