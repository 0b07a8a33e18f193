//! `s3tune serve`: the embedded S3 for any other client.

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
    let (access, secret) = match (arguments.access_key, arguments.secret_key) {
        (Some(access), Some(secret)) => (access, secret),
        _ => (random_text(20), random_text(40)),
    };
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

/// Letters and digits nobody can guess, for keys.
fn random_text(length: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    (0..length).map(|_| char::from(ALPHABET[usize::from(rand::random::<u8>()) % ALPHABET.len()])).collect()
}
