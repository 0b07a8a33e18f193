//! The lab's faces: inside the process, over TCP and over TLS, to clients that behave and to those that do not.

mod hostile;
#[cfg(feature = "sdk")]
mod in_process;
mod tcp;
mod tls;

/// The head of an answer and its body, read until the connection ends, and how it ended.
async fn answer(
    mut stream: impl tokio::io::AsyncRead + Unpin + Send,
) -> Result<(String, Vec<u8>, Option<std::io::ErrorKind>), Box<dyn std::error::Error>> {
    let mut bytes = Vec::new();
    let ended = loop {
        match tokio::io::AsyncReadExt::read_buf(&mut stream, &mut bytes).await {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or("a head")? + 4;
    let body = bytes.split_off(split);
    Ok((String::from_utf8(bytes)?, body, ended))
}
