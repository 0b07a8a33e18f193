//! `s3tune serve`: the embedded S3 for any other client.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use s3lab::{Lab, NetworkProfile};
use serde::Serialize;

use super::{interrupted, tell};
use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::lab::{EmbeddedS3, profile};

/// The one line on standard output.
#[derive(Serialize)]
struct Serving<'a> {
    endpoint: String,
    access_key: &'a str,
    secret_key: &'a str,
    region: &'a str,
    bucket: &'a str,
}

pub(super) async fn serve(arguments: ServeArgs) -> Result<(), Failure> {
    let network = match &arguments.profile {
        Some(name) => profile("--profile", name)?,
        None => NetworkProfile::unlimited(),
    };
    let mut builder = Lab::builder().bucket(&arguments.bucket).network(network);
    for (at, (key, size)) in arguments.synthetic.iter().enumerate() {
        if arguments.synthetic[..at].iter().any(|(earlier, _)| earlier == key) {
            return Err(Failure::usage(format!("--synthetic {key}: the key is given twice; give it one size")));
        }
        builder = builder.synthetic(&arguments.bucket, key.as_str(), size.0);
    }
    let given = match (arguments.access_key, arguments.secret_key, &arguments.secret_key_file) {
        (Some(access), Some(secret), _) => Some((access, secret)),
        (Some(access), None, Some(file)) => Some((access, secret_in(file)?)),
        _ => keys_in_environment(|name| env::var_os(name))?,
    };
    let (access, secret) = given.unwrap_or_else(|| (random_text(20), random_text(40)));
    let lab = builder.credentials(access, secret).build().map_err(|error| Failure::usage(error.to_string()))?;
    let embedded = EmbeddedS3::start(lab.clone(), arguments.listen).await?;
    let line = serde_json::to_string(&Serving {
        endpoint: embedded.endpoint(),
        access_key: lab.access_key(),
        secret_key: lab.secret_key(),
        region: lab.region(),
        bucket: &arguments.bucket,
    });
    let line = line.map_err(|error| Failure::work("tell the address", &error))?;
    tell(&format!("{line}\n"))?;
    interrupted().await.map_err(|error| Failure::work("wait for the end", &error))
}

/// The secret key in `file`, which holds only that key.
fn secret_in(file: &Path) -> Result<String, Failure> {
    /// S3's have 40. A longer text is another file, or has no end.
    const MOST_BYTES: u64 = 4096;

    // Its contents are not repeated: they may be the secret.
    let unusable = |what: String| Failure::usage(format!("--secret-key-file {}: {what}", file.display()));
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| unusable(format!("it cannot be read: {error}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(unusable(format!(
            "it has more than {MOST_BYTES} bytes; name a file that holds the secret key alone"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not text".to_owned()))?;
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    match secret {
        "" => Err(unusable("it is empty; write the secret key into it".to_owned())),
        _ if secret.contains(['\n', '\r']) => {
            Err(unusable("it has more than one line; name a file that holds the secret key alone".to_owned()))
        }
        _ => Ok(secret.to_owned()),
    }
}

/// Variables of our own: AWS's in the environment are meant for AWS, not for a server for tests.
const ACCESS_KEY: &str = "S3TUNE_ACCESS_KEY";
const SECRET_KEY: &str = "S3TUNE_SECRET_KEY";

/// Both keys from the environment, or none; an empty variable counts as unset, as for AWS's tools.
fn keys_in_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<(String, String)>, Failure> {
    let text = |name: &str| {
        let value = variable(name).filter(|value| !value.is_empty()).map(OsString::into_string);
        value.transpose().map_err(|_| Failure::usage(format!("the environment's {name} is not text")))
    };
    let missing = |set: &str, unset: &str| {
        Failure::usage(format!("the environment has {set} and no {unset}; set both of them, or neither"))
    };
    match (text(ACCESS_KEY)?, text(SECRET_KEY)?) {
        (Some(access), Some(secret)) => Ok(Some((access, secret))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing(ACCESS_KEY, SECRET_KEY)),
        (None, Some(_)) => Err(missing(SECRET_KEY, ACCESS_KEY)),
    }
}

/// Random letters and digits, for keys.
fn random_text(length: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    (0..length).map(|_| char::from(ALPHABET[usize::from(rand::random::<u8>()) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn said<T: std::fmt::Debug>(ended: Result<T, Failure>) -> String {
        match ended {
            Err(failure @ Failure::Usage(_)) => failure.line(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_with_one_line_is_the_secret_key_and_no_other_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        for right in ["hush/+=", "hush/+=\n", "hush/+=\r\n"] {
            fs::write(&file, right).expect("written");
            assert_eq!(secret_in(&file).expect("a secret"), "hush/+=", "{right:?}");
        }
        let long = "hush".repeat(2000);
        for (wrong, says) in [
            ("", "empty"),
            ("\n", "empty"),
            ("hush\nhush\n", "one line"),
            ("hush\n\n", "one line"),
            (long.as_str(), "4096 bytes"),
        ] {
            fs::write(&file, wrong).expect("written");
            let line = said(secret_in(&file));
            assert!(line.contains(says) && line.contains("secret: ") && !line.contains("hush"), "{line}");
        }
        fs::write(&file, b"hush\xff").expect("written");
        assert!(said(secret_in(&file)).contains("not text"));
        assert!(said(secret_in(&folder.path().join("missing"))).contains("No such file"));
        assert!(said(secret_in(Path::new("/dev/zero"))).contains("4096 bytes"), "a file without end");
    }

    #[test]
    fn the_environment_has_both_keys_or_none() {
        let keys = |access: Option<&str>, secret: Option<&str>| {
            keys_in_environment(|name| if name == ACCESS_KEY { access } else { secret }.map(OsString::from))
        };
        let both = Some(("a".to_owned(), "hush".to_owned()));
        assert_eq!(keys(Some("a"), Some("hush")).expect("both"), both);
        for none in [None, Some("")] {
            assert_eq!(keys(none, None).expect("none"), None);
            assert!(said(keys(Some("a"), none)).contains("no S3TUNE_SECRET_KEY"));
            let line = said(keys(none, Some("hush")));
            assert!(line.contains("no S3TUNE_ACCESS_KEY") && !line.contains("hush"), "{line}");
        }
        let line = said(keys_in_environment(|_| Some(OsString::from_vec(b"hush\xff".to_vec()))));
        assert!(line.contains("not text") && !line.contains("hush"), "{line}");
    }
}
