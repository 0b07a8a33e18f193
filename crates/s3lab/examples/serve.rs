//! The shortest server: `cargo run --release -p s3lab --example serve -- [PROFILE] [SIZE_IN_MIB] [PORT]`.
//!
//! Serves bucket `lab` with one synthetic object `big` to anybody, and prints its endpoint.

use s3lab::{Lab, NetworkProfile, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let profile = args.next().unwrap_or_else(|| "unlimited".to_owned());
    let size: u64 = args.next().unwrap_or_else(|| "1024".to_owned()).parse()?;
    let port: u16 = args.next().unwrap_or_else(|| "0".to_owned()).parse()?;
    let lab = Lab::builder()
        .bucket("lab")
        .synthetic("lab", "big", size << 20)
        .network(NetworkProfile::named(&profile)?)
        .allow_anonymous(true)
        .build()?;
    let server = Server::start(&lab, ([127, 0, 0, 1], port).into()).await?;
    println!("{}", server.endpoint());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    eprintln!("{:?}", lab.stats());
    Ok(())
}
