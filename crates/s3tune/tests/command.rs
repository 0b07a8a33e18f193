//! The command from outside: exit codes, one line for each error, nothing left behind.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn s3tune(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3tune"));
    command.args(arguments).env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
    let keys = ["S3TUNE_ACCESS_KEY", "S3TUNE_SECRET_KEY"];
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "RUST_LOG"].into_iter().chain(keys) {
        command.env_remove(variable);
    }
    command.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "hush").env("AWS_REGION", "us-east-1");
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code, not a signal")
}

/// The one line with the error.
fn line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let said: Vec<&str> = text.lines().filter(|line| line.starts_with("s3tune: ")).collect();
    assert_eq!(said.len(), 1, "{text}");
    assert!(!text.contains("panicked") && !text.contains("hush"), "{text}");
    said[0].to_owned()
}

fn tune(out: &Path, more: &[&str]) -> Output {
    let out = out.to_str().unwrap();
    let mut arguments =
        vec!["tune", "--lab", "same-region", "--object-size", "1MiB", "--n-downloads", "1", "--out", out];
    arguments.extend(more);
    s3tune(&arguments).output().unwrap()
}

#[test]
fn wrong_usage_ends_with_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (more, says) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["--search", "nonsense"], "nonsense"),
        (&["--search", "pbt"], "no use here"),
        (&["--workers", "2"], "--workers 2"),
        (&["--max-bytes", "1MiB"], "--max-bytes"),
        (&["--max-requests", "3"], "--max-requests"),
        (&["--file-path", "/nonexistent/x"], "/nonexistent/x"),
        (&["--file-name", "a/b"], "a/b"),
        (&["--space", "nowhere.toml"], "nowhere.toml"),
        (&["--engine", "cp a b"], "{out}"),
        (&["--max-tuning-time", "soon"], "soon"),
    ] {
        let output = tune(&out, more);
        assert_eq!(code(&output), 2, "{more:?}");
        assert!(line(&output).contains(says), "{more:?}: {}", line(&output));
        assert!(!out.exists(), "{more:?}");
    }
    for (arguments, says) in [
        (&["tune", "--lab", "moon"][..], "same-region"),
        (&["tune", "--lab", "missing.toml"], "missing.toml"),
        (&["tune", "--lab", "lan", "--object-size", "0"], "--object-size"),
        (&[], "s3tune demo"),
        (&["demo", "--seed", "18446744073709551615"], "--seed 18446744073709551615"),
        (&["serve", "--profile", "moon"], "same-region"),
        (&["serve", "--bucket", "x"], "x"),
        (&["serve", "--access-key", "a", "--secret-key-file", "/nonexistent/x"], "/nonexistent/x"),
        (&["serve", "--access-key", "a", "--secret-key", "hush with spaces"], "secret key"),
    ] {
        let output = s3tune(arguments).output().unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(line(&output).contains(says), "{arguments:?}: {}", line(&output));
    }
}

#[test]
fn work_that_fails_ends_with_1_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let unreachable =
        s3tune(&["tune", "--bucket", "b", "--key", "k", "--endpoint-url", "http://127.0.0.1:9", "--out", out]);
    let output = { unreachable }.output().unwrap();
    assert_eq!(code(&output), 1);
    let says = line(&output);
    assert!(says.contains("s3://b/k") && says.contains("127.0.0.1:9") && says.contains("refused"), "{says}");

    let output = tune(Path::new("/proc/no/folder"), &["--max-trials", "1"]);
    assert_eq!(code(&output), 1);
    assert!(line(&output).contains("/proc/no/folder"), "{}", line(&output));
}

#[test]
fn a_file_in_place_of_the_folder_is_wrong_usage() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for out in [file.path().to_owned(), file.path().join("below")] {
        let output = tune(&out, &["--max-trials", "1"]);
        assert_eq!(code(&output), 2);
        assert!(line(&output).contains("--out") && line(&output).contains("not a folder"), "{}", line(&output));
    }
}

#[test]
fn a_network_of_a_file_keeps_its_seed_unless_one_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.toml");
    std::fs::write(&file, "first_byte_ms = 1.0\nseed = 7\n").unwrap();
    let (file, none): (_, &[&str]) = (file.to_str().unwrap(), &[]);
    let cases = [(file, none, "seed 7"), (file, &["--seed", "9"], "seed 9"), ("lan", none, "seed 42")];
    for (number, (lab, more, seed)) in cases.into_iter().enumerate() {
        let out = folder.path().join(number.to_string());
        let size = ["--object-size", "1MiB", "--n-downloads", "1", "--max-trials", "1", "--search", "random"];
        let output = s3tune(&["tune", "--lab", lab]).args(size).args(more).arg("--out").arg(&out).output().unwrap();
        assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
        let run: Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
        assert!(run["network"].as_str().unwrap().contains(seed), "{lab}: {}", run["network"]);
    }
}

#[test]
fn a_run_tells_its_result_on_standard_output_and_plain_lines_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // Twice in a row: the second time there is only the comparison to make.
    for _ in 0..2 {
        let output = tune(&out, &["--max-trials", "3", "--init", "boto3_defaults", "--search=random"]);
        assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(
            told.starts_with("boto3's defaults ") && told.contains("95 % interval") && told.contains("summary.json"),
            "{told}"
        );
        assert!(told.contains("\nconclusion: use "), "{told}");
        assert!(!output.stderr.contains(&0x1b), "no escape codes where there is no terminal");
        assert!(String::from_utf8_lossy(&output.stderr).contains("plan: search up to 3 downloads, 3 MiB in about"));
    }
    let summary: Value = serde_json::from_slice(&std::fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["trials"], 3);

    // The report again, from the folder alone.
    let before = std::fs::read(out.join("measurements.csv")).unwrap();
    for file in ["report.html", "results.csv", "measurements.csv"] {
        std::fs::remove_file(out.join(file)).unwrap();
    }
    let output = s3tune(&["report", out.to_str().unwrap()]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("engine s3xfer") && told.contains("\nconclusion: use "), "{told}");
    assert!(out.join("report.html").exists() && out.join("results.csv").exists());
    assert_eq!(std::fs::read(out.join("measurements.csv")).unwrap(), before);
}

#[test]
fn a_report_of_no_run_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for dir in [folder.path(), &missing] {
        let output = s3tune(&["report", dir.to_str().unwrap()]).output().unwrap();
        assert_eq!(code(&output), 2);
        assert!(line(&output).contains("no run in this folder"), "{}", line(&output));
        assert!(!dir.join("report.html").exists());
    }
}

#[test]
fn ctrl_c_ends_a_run_cleanly_and_keeps_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (out, scratch) = (folder.path().join("out"), tempfile::tempdir().unwrap());
    let arguments = [
        "tune",
        "--lab",
        "unlimited",
        "--object-size",
        "1MiB",
        "--out",
        out.to_str().unwrap(),
        "--file-path",
        scratch.path().to_str().unwrap(),
        "--search",
        "random",
    ];
    let mut child = s3tune(&arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut says = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    while !first.contains("trial   1") {
        first.clear();
        assert!(says.read_line(&mut first).unwrap() > 0, "it ended before it was asked to");
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let asked = Instant::now();
    // Keeps the pipe open while it ends.
    let mut rest = String::new();
    says.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(30));
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(rest.contains("s3tune: interrupted"), "{rest}");
    assert!(out.join("results.csv").exists() && out.join("journal.jsonl").exists());
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// The same command, which hang-ups end even if the tests were started by `nohup`: ignored signals are inherited.
fn ended_by_hang_ups(command: Command) -> Command {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    if ignored.is_none_or(|signals| signals & 1 == 0) {
        return command;
    }
    let mut reset = Command::new("env");
    reset.arg("--default-signal=HUP").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => reset.env(name, value),
            None => reset.env_remove(name),
        };
    }
    reset
}

#[test]
fn a_hang_up_ends_a_run_and_the_program_that_downloads() {
    let folder = tempfile::tempdir().unwrap();
    let (out, mark, file) = (folder.path().join("out"), folder.path().join("pid"), folder.path().join("engine.toml"));
    // Written whole: the mark appears with the process's id in it.
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 600", mark.display());
    let text = format!(
        "name = 'slow'\ncommand = ['sh', '-c', '{script}', '{{out}}', '{{threads}}']\n\
         [space.threads]\ntype = 'int'\nlo = 1\nhi = 64\ndefault = 8\n"
    );
    std::fs::write(&file, text).unwrap();
    let command = s3tune(&["tune", "--lab", "unlimited", "--object-size", "1MiB"]);
    let mut command = ended_by_hang_ups(command);
    command.arg("--out").arg(&out).arg("--engine").arg(&file).arg("--file-path").arg(folder.path());
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    while !mark.exists() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before it was asked to");
        std::thread::sleep(Duration::from_millis(5));
    }
    let program = std::fs::read_to_string(&mark).unwrap();
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    // It was killed; until it is reaped it is a zombie.
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z"))
    };
    let asked = Instant::now();
    while runs() {
        assert!(asked.elapsed() < Duration::from_secs(60), "the program runs on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(code(&output), 1, "{said}");
    assert!(said.contains("s3tune: interrupted"), "{said}");
}

#[test]
fn a_hang_up_that_nohup_has_ignored_stays_so() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" serve", env!("CARGO_BIN_EXE_s3tune")]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let send = |signal: &str| Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    // Once more when it listens for certain.
    for _ in 0..2 {
        assert!(send("-HUP").success());
        std::thread::sleep(Duration::from_millis(100));
    }
    let serving: Value = serde_json::from_str(&line).unwrap();
    let address = serving["endpoint"].as_str().unwrap().trim_start_matches("http://");
    assert!(std::net::TcpStream::connect(address).is_ok(), "it has ended");
    assert!(send("-TERM").success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_folder_that_is_not_a_runs_keeps_its_files() {
    for name in ["results.csv", "report.html", "journal.jsonl", "importances.csv"] {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join(name);
        std::fs::write(&file, "mine").unwrap();
        let output = tune(out.path(), &["--max-trials", "1"]);
        assert_eq!(code(&output), 2, "{}", String::from_utf8_lossy(&output.stderr));
        let line = line(&output);
        assert!(line.contains(name) && line.contains("--out") && line.contains("another folder"), "{line}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1);
    }
    // A file of another name is no trouble.
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("notes.txt"), "mine").unwrap();
    assert_eq!(code(&tune(out.path(), &["--max-trials", "1", "--search", "random"])), 0);
}

#[test]
fn tune_asks_in_its_region_with_its_profiles_keys() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    std::fs::write(&file, "[work]\naws_access_key_id = profiled\naws_secret_access_key = hush\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        head.join("\n")
    });
    let mut command = s3tune(&["tune", "--bucket", "b", "--key", "k", "--endpoint-url", &endpoint]);
    command.args(["--region", "eu-west-3", "--profile", "work"]).arg("--out").arg(folder.path().join("out"));
    command.env("AWS_SHARED_CREDENTIALS_FILE", &file).env("AWS_CONFIG_FILE", "/dev/null");
    // Other keys are in variables.
    let output = command.output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(line(&output).contains("403"), "{}", line(&output));
    let head = server.join().unwrap();
    assert!(head.contains("Credential=profiled/") && head.contains("/eu-west-3/s3/"), "{head}");
}

#[test]
fn missing_keys_are_told_with_the_place_to_put_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    std::fs::write(&file, "[work]\nregion = eu-west-3\n").unwrap();
    for (profile, says) in [
        (&["--profile", "work"][..], "for --profile work; add them to its section"),
        (&[], "set AWS_ACCESS_KEY_ID and"),
    ] {
        let mut command = s3tune(&["tune", "--bucket", "b", "--key", "k", "--endpoint-url", "http://127.0.0.1:9"]);
        command.args(profile).arg("--out").arg(folder.path().join("out"));
        command.env("AWS_SHARED_CREDENTIALS_FILE", &file).env("AWS_CONFIG_FILE", "/dev/null");
        if profile.is_empty() {
            command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        }
        let output = command.output().unwrap();
        assert_eq!(code(&output), 1);
        assert!(
            line(&output).contains("no credentials were found") && line(&output).contains(says),
            "{}",
            line(&output)
        );
    }
}

/// The keys that `serve` tells, with these arguments and variables.
fn served_keys(arguments: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    let mut command = s3tune(&[&["serve"], arguments].concat());
    let mut child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let serving: Value = serde_json::from_str(&line).unwrap();
    let text = |name: &str| serving[name].as_str().unwrap().to_owned();
    (text("access_key"), text("secret_key"))
}

#[test]
fn serve_takes_its_keys_from_flags_a_file_or_variables_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "from-file\n").unwrap();
    let file = ["--access-key", "flag", "--secret-key-file", file.to_str().unwrap()];
    let variables = [("S3TUNE_ACCESS_KEY", "variable"), ("S3TUNE_SECRET_KEY", "from-variable")];
    let pair = |access: &str, secret: &str| (access.to_owned(), secret.to_owned());
    assert_eq!(served_keys(&file, &[]), pair("flag", "from-file"));
    assert_eq!(served_keys(&[], &variables), pair("variable", "from-variable"));
    // Flags come first, as a pair.
    assert_eq!(served_keys(&file, &variables), pair("flag", "from-file"));
    let flags = ["--access-key", "flag", "--secret-key", "from-flag"];
    assert_eq!(served_keys(&flags, &variables), pair("flag", "from-flag"));
    // AWS's own keys, which `s3tune` sets here, are never taken for a server.
    let (access, secret) = served_keys(&[], &[]);
    assert!(access != "a" && secret != "hush" && secret.len() >= 16, "{access}");

    let half = s3tune(&["serve"]).env("S3TUNE_SECRET_KEY", "hush").output().unwrap();
    assert_eq!(code(&half), 2);
    assert!(line(&half).contains("S3TUNE_ACCESS_KEY"), "{}", line(&half));
}

#[test]
fn serve_prints_one_line_and_ends_when_asked_to() {
    let mut child =
        s3tune(&["serve", "--bucket", "things", "--synthetic", "big=3GiB"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut says = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    says.read_line(&mut line).unwrap();
    let serving: Value = serde_json::from_str(&line).unwrap();
    assert!(serving["endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert_eq!((serving["bucket"].as_str(), serving["region"].as_str()), (Some("things"), Some("us-east-1")));
    assert!(serving["access_key"].as_str().unwrap().len() >= 16 && serving["secret_key"].as_str().unwrap().len() >= 16);

    // Another program finds the object with the data of the line.
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut missing = s3tune(&["tune", "--bucket", "things", "--key", "small", "--out", out.to_str().unwrap()]);
    missing.args(["--endpoint-url", serving["endpoint"].as_str().unwrap()]);
    missing.env("AWS_ACCESS_KEY_ID", serving["access_key"].as_str().unwrap());
    missing.env("AWS_SECRET_ACCESS_KEY", serving["secret_key"].as_str().unwrap());
    let output = missing.output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(self::line(&output).contains("NoSuchKey"), "{}", self::line(&output));

    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    says.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "nothing after the first line");
}
