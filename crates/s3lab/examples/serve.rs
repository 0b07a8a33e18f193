//! Serves bucket `lab` with one synthetic object `big` to anybody until Ctrl-C, and prints its endpoint. With `--tls`
//! it speaks HTTPS and first writes the certificate that clients have to trust to the file `PEM`. A server without
//! arguments is in `serve_any_client.rs`.
//!
//! `cargo run --release -p s3lab --example serve -- [PROFILE] [SIZE_IN_MIB] [PORT] [--tls PEM]`

use s3lab::{Lab, NetworkProfile, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let pem = match args.iter().position(|arg| arg == "--tls") {
        Some(at) if at + 1 < args.len() => args.drain(at..at + 2).nth(1),
        Some(_) => return Err("--tls takes the file to write the certificate to".into()),
        None => None,
    };
    let mut args = args.into_iter();
    let profile = args.next().unwrap_or_else(|| "unlimited".to_owned());
    let size: u64 = args.next().unwrap_or_else(|| "1024".to_owned()).parse()?;
    let port: u16 = args.next().unwrap_or_else(|| "0".to_owned()).parse()?;
    let lab = Lab::builder()
        .bucket("lab")
        .synthetic("lab", "big", size << 20)
        .network(NetworkProfile::named(&profile)?)
        .allow_anonymous(true)
        .build()?;
    let addr = ([127, 0, 0, 1], port).into();
    let server = match pem {
        None => Server::start(&lab, addr).await?,
        Some(file) => {
            let server = Server::start_tls(&lab, addr).await?;
            std::fs::write(file, server.certificate_pem().ok_or("no certificate")?)?;
            server
        }
    };
    println!("{}", server.endpoint());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    eprintln!("{:?}", lab.stats());
    Ok(())
}
