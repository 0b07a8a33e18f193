//! As little work as the job allows: ranged GETs by hand on blocking sockets, a thread a connection.
//!
//! No client library, no signature, no retry, no check: what the machine, its loopback and the server leave to win.
//! Each thread keeps one connection and one buffer; bytes go from the socket (or from rustls) into the buffer and from
//! there to their place in the file. Over TLS the socket is read in large pieces, and rustls works from memory.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::task::{MIB, Target, Task, What, many};

const CONNECTIONS: usize = 8;
const PART: u64 = 16 * MIB;
const BUFFER: usize = 1 << 20;

pub fn run(task: &Task) -> Result<u64> {
    let server = Server::new(&task.endpoint)?;
    let connections = task.concurrency.map_or(CONNECTIONS, |n| n as usize);
    match &task.what {
        What::Get { key, out } => get(&server, &format!("/{}/{key}", task.bucket), out, connections),
        What::GetMany { prefix, folder, count } => {
            let files: Vec<_> =
                many(prefix, folder, *count).map(|(key, out)| (format!("/{}/{key}", task.bucket), out)).collect();
            get_many(&server, &files, connections)
        }
    }
}

fn get(server: &Server, path: &str, out: &str, connections: usize) -> Result<u64> {
    let mut first = server.connect()?;
    let answer = first.ask(path, Some((0, PART)))?;
    let (len, total) = (answer.length, answer.total.context("no Content-Range")?);
    let target = Target::open(out, Some(total))?;
    let next = AtomicU64::new(len);
    let work = |connection: &mut Connection, begun: Option<u64>| -> Result<u64> {
        let mut bytes = 0;
        if let Some(len) = begun {
            bytes += connection.body(len, |data, at| target.write_at(data, at))?;
        }
        loop {
            let start = next.fetch_add(PART, Ordering::Relaxed);
            if start >= total {
                return Ok(bytes);
            }
            let len = PART.min(total - start);
            let answer = connection.ask(path, Some((start, len)))?;
            if answer.length != len {
                bail!("asked for {len} bytes, answered with {}", answer.length);
            }
            bytes += connection.body(len, |data, at| target.write_at(data, start + at))?;
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..connections).map(|_| scope.spawn(|| work(&mut server.connect()?, None))).collect();
        let mut bytes = work(&mut first, Some(len))?;
        for other in others {
            bytes += other.join().expect("a worker does not panic")?;
        }
        Ok(bytes)
    })
}

fn get_many(server: &Server, files: &[(String, String)], connections: usize) -> Result<u64> {
    let next = AtomicU64::new(0);
    let work = || -> Result<u64> {
        let mut connection = server.connect()?;
        let mut bytes = 0;
        while let Some((path, out)) = files.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let answer = connection.ask(path, None)?;
            let target = Target::open(out, None)?;
            bytes += connection.body(answer.length, |data, at| target.write_at(data, at))?;
        }
        Ok(bytes)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_fold(0, |sum, worker| Ok(sum + worker.join().expect("a worker does not panic")?))
    })
}

/// Where to connect, and how.
struct Server {
    authority: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Server {
    fn new(endpoint: &str) -> Result<Self> {
        if let Some(authority) = endpoint.strip_prefix("http://") {
            return Ok(Self { authority: authority.to_owned(), tls: None });
        }
        let authority = endpoint.strip_prefix("https://").context("the endpoint is neither http nor https")?;
        let mut roots = RootCertStore::empty();
        // Honours SSL_CERT_FILE.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { authority: authority.to_owned(), tls: Some(Arc::new(config)) })
    }

    fn connect(&self) -> Result<Connection> {
        let socket = TcpStream::connect(&self.authority)?;
        socket.set_nodelay(true)?;
        let wire = match &self.tls {
            None => Wire::Plain(socket),
            Some(config) => {
                let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
                let session = ClientConnection::new(config.clone(), ServerName::try_from(host.to_owned())?)?;
                Wire::Tls(Box::new(StreamOwned::new(session, ReadAhead::new(socket))))
            }
        };
        Ok(Connection { wire, host: self.authority.clone(), buffer: vec![0; BUFFER].into(), start: 0, end: 0 })
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, ReadAhead>>),
}

impl Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(data),
            Self::Tls(stream) => stream.write_all(data),
        }
    }
}

/// A socket read in pieces as large as they come: rustls by itself asks for 4 KiB at a time.
struct ReadAhead {
    socket: TcpStream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadAhead {
    fn new(socket: TcpStream) -> Self {
        Self { socket, buffer: vec![0; 256 << 10].into(), start: 0, end: 0 }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, self.socket.read(&mut self.buffer)?);
        }
        let n = out.len().min(self.end - self.start);
        out[..n].copy_from_slice(&self.buffer[self.start..self.start + n]);
        self.start += n;
        Ok(n)
    }
}

impl Write for ReadAhead {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.socket.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The head of an answer.
struct Answer {
    length: u64,
    /// The object's size, from Content-Range.
    total: Option<u64>,
}

/// One kept-alive connection with its buffer; what was read behind a head waits in `start..end`.
struct Connection {
    wire: Wire,
    host: String,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Connection {
    /// Sends a GET and reads its answer's head.
    fn ask(&mut self, path: &str, range: Option<(u64, u64)>) -> Result<Answer> {
        let range = range.map_or(String::new(), |(at, len)| format!("Range: bytes={at}-{}\r\n", at + len - 1));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{range}\r\n", self.host);
        self.wire.write_all(request.as_bytes())?;
        (self.start, self.end) = (0, 0);
        let head = loop {
            let n = self.wire.read(&mut self.buffer[self.end..])?;
            if n == 0 {
                bail!("the connection ended inside a head");
            }
            self.end += n;
            // A head is a few hundred bytes: looking at more than the first kilobytes would look at the body.
            let seen = &self.buffer[..self.end.min(16 << 10)];
            if let Some(at) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                self.start = at + 4;
                break std::str::from_utf8(&self.buffer[..at])?;
            }
            if self.end >= 16 << 10 {
                bail!("a head without end");
            }
        };
        if !head.starts_with("HTTP/1.1 20") {
            bail!("{path}: {}", head.lines().next().unwrap_or(""));
        }
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
        };
        let length = header("content-length").context("no Content-Length")?.parse()?;
        let total = header("content-range").and_then(|value| value.rsplit_once('/')?.1.parse().ok());
        Ok(Answer { length, total })
    }

    /// Reads a body of `len` bytes, and hands it over in pieces with their offsets.
    fn body(&mut self, len: u64, mut each: impl FnMut(&[u8], u64) -> Result<()>) -> Result<u64> {
        let mut done = (self.end - self.start) as u64;
        if done > len {
            bail!("more bytes than announced");
        }
        if done > 0 {
            each(&self.buffer[self.start..self.end], 0)?;
        }
        (self.start, self.end) = (0, 0);
        while done < len {
            // As much as the buffer holds before it is written: fewer, larger writes.
            let want = self.buffer.len().min(usize::try_from(len - done)?);
            let mut got = 0;
            while got < want {
                let n = self.wire.read(&mut self.buffer[got..want])?;
                if n == 0 {
                    bail!("the connection ended inside a body");
                }
                got += n;
            }
            each(&self.buffer[..got], done)?;
            done += got as u64;
        }
        Ok(done)
    }
}
