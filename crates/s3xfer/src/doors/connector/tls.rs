//! TLS by rustls and aws-lc, over rustls's unbuffered interface.
//!
//! rustls's usual interface reads 4 KiB at a time from the socket and hands out one record (16 KiB) at a time. Here the
//! socket is read in pieces as large as the frame to be filled. Records are decrypted in place, and their contents are
//! copied into the frame until it is full. The buffer is borrowed for one call only: between calls, a connection holds
//! at most the beginning of one record, and the end of another one that did not fit into the frame.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{io, iter};

use bytes::{Buf, Bytes, BytesMut};
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::buffers::{Buffers, FRAME_BYTES};
use crate::doors::blocking;

/// A file of certificates to trust, besides the system's; AWS's tools know it by this name.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Header, content type and tag of a record in TLS 1.3; in TLS 1.2 it is 29 bytes.
const RECORD_OVERHEAD: usize = 22;
/// Most bytes of a record.
const RECORD_BYTES: usize = 16 << 10;
/// Room for one frame's records, a record more, and smaller records.
const GULP_BYTES: usize = FRAME_BYTES + 2 * RECORD_BYTES;
/// Bytes that are read at once while shaking hands: a server's certificates are 3 to 6 KiB.
const HANDSHAKE_BYTES: usize = 8 << 10;
/// The limit on unprocessed bytes during the handshake; rustls itself refuses messages of more than 64 KiB.
const HANDSHAKE_LIMIT: usize = 128 << 10;

/// The reason for a failed TLS handshake. The causes are part of the text, because callers report the innermost error
/// only.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// The file of certificates is missing or broken.
    #[error("the certificates in {}, which {CA_BUNDLE} names, cannot be used: {cause}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// The fault in it.
        cause: String,
    },
    /// No certificate is trusted.
    #[error("no trusted certificates are installed; name a file of them in SSL_CERT_FILE or {CA_BUNDLE}{cause}")]
    NoRoots {
        /// The error of those that there are.
        cause: String,
    },
    /// Not a name that a certificate could be for.
    #[error("{host} is not a name for which there can be a certificate")]
    Name {
        /// The host.
        host: String,
    },
    /// The server's message or certificate was not acceptable.
    #[error("no TLS with {host}: {cause}{}", mend(cause))]
    Refused {
        /// The host.
        host: String,
        /// The error of rustls.
        cause: rustls::Error,
    },
    /// The connection broke.
    #[error("the connection to {host} broke while TLS began: {cause}")]
    Broken {
        /// The host.
        host: String,
        /// The system's words.
        cause: io::Error,
    },
}

/// The state that all TLS connections of one client share: trusted certificates, and sessions to resume.
#[derive(Debug)]
pub(super) struct Tls {
    path: Option<OsString>,
    bundle: OnceCell<Bundle>,
    config: OnceCell<Arc<ClientConfig>>,
    gulps: Arc<Buffers>,
}

/// A file of trusted certificates, all of which rustls can use.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The file's bytes.
    pub(super) pem: Vec<u8>,
    certificates: Vec<CertificateDer<'static>>,
}

/// A TLS connection after its handshake.
pub(super) struct TlsStream {
    tcp: TcpStream,
    session: UnbufferedClientConnection,
    gulps: Arc<Buffers>,
    /// Bytes that were read and not yet decrypted.
    coded: BytesMut,
    /// Whether there may be a whole record in it.
    undecided: bool,
    /// Bytes that were decrypted and did not fit.
    plain: Bytes,
    /// Messages of rustls to the server on its own account: new keys, mostly.
    outgoing: Vec<u8>,
    /// The server said that it is done.
    closed: bool,
    /// The socket is at its end.
    ended: bool,
    /// Returned after the bytes before it.
    failure: Option<io::Error>,
}

/// The result of [`TlsStream::decrypt`].
#[derive(Debug, Clone, Copy)]
struct Decrypted {
    /// Bytes of records that are not needed any more.
    used: usize,
    filled: usize,
    /// It stopped because the room was full, not because the records were.
    undecided: bool,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::trusting(env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()))
    }
}

/// The remedy, for the server's owner.
fn mend(cause: &rustls::Error) -> &'static str {
    match cause {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "; if it is to be trusted, name a file with its issuer's certificate in AWS_CA_BUNDLE or SSL_CERT_FILE"
        }
        _ => "",
    }
}

/// The reason why another client did not accept a certificate, and how to mend it; `None` for other errors. The reason
/// may be wrapped in I/O errors, whose `source` passes it over. A client that the caller has set does not read
/// AWS_CA_BUNDLE, so the hint does not name it.
pub(super) fn refused_certificate(error: &(dyn Error + 'static)) -> Option<String> {
    let mut causes = iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    });
    let mend = causes.find_map(|cause| match cause.downcast_ref::<rustls::Error>()? {
        cause @ rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some((cause, "; if it is to be trusted, name a file with its issuer's certificate in SSL_CERT_FILE"))
        }
        cause @ rustls::Error::InvalidCertificate(_) => Some((cause, "")),
        _ => None,
    });
    mend.map(|(cause, mend)| format!("the server is not trusted: {cause}{mend}"))
}

impl Tls {
    /// Trusts the system's certificates and those in the file `bundle`.
    pub(super) fn trusting(bundle: Option<OsString>) -> Self {
        Self { path: bundle, bundle: OnceCell::new(), config: OnceCell::new(), gulps: Buffers::of(GULP_BYTES) }
    }

    /// The certificates to trust besides the system's; `None` where no file is named. The file is read once.
    ///
    /// # Errors
    ///
    /// [`TlsError::Bundle`].
    pub(super) async fn bundle(&self) -> Result<Option<&Bundle>, TlsError> {
        let Some(path) = self.path.as_ref().map(PathBuf::from) else { return Ok(None) };
        self.bundle.get_or_try_init(|| blocking::run(move || Bundle::read(path))).await.map(Some)
    }

    /// Shakes hands with `host` over `tcp`.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub(super) async fn connect(&self, tcp: TcpStream, host: &str) -> Result<TlsStream, TlsError> {
        let config = self.config.get_or_try_init(|| self.load()).await?.clone();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| TlsError::Name { host: host.to_owned() })?;
        let refused = |cause| TlsError::Refused { host: host.to_owned(), cause };
        let session = UnbufferedClientConnection::new(config, name).map_err(refused)?;
        TlsStream::handshake(tcp, session, self.gulps.clone()).await.map_err(|error| match error {
            Handshake::Refused(cause) => refused(cause),
            Handshake::Broken(cause) => TlsError::Broken { host: host.to_owned(), cause },
        })
    }

    async fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let bundle = self.bundle().await?.map(|bundle| bundle.certificates.clone());
        // Hundreds of certificates are read and parsed.
        blocking::run(move || client_config(bundle.unwrap_or_default())).await
    }
}

impl Bundle {
    fn read(path: PathBuf) -> Result<Self, TlsError> {
        let usable = || -> Result<Self, String> {
            let pem = fs::read(&path).map_err(|cause| cause.to_string())?;
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let certificates = certificates.map_err(|cause| cause.to_string())?;
            let mut roots = RootCertStore::empty();
            for certificate in &certificates {
                roots.add(certificate.clone()).map_err(|cause| cause.to_string())?;
            }
            if roots.is_empty() {
                return Err("the file holds no certificate".to_owned());
            }
            Ok(Self { pem, certificates })
        };
        usable().map_err(|cause| TlsError::Bundle { path: path.clone(), cause })
    }
}

fn client_config(bundle: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // The system's are many and of all kinds; those that rustls does not understand are nobody's fault here.
    let (added, ignored) = roots.add_parsable_certificates(native.certs);
    tracing::debug!(added, ignored, errors = ?native.errors, "trusted certificates of the system");
    roots.add_parsable_certificates(bundle);
    if roots.is_empty() {
        let cause: String = native.errors.iter().map(|error| format!("; {error}")).collect();
        return Err(TlsError::NoRoots { cause });
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("the provider has suites of both versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

enum Handshake {
    Refused(rustls::Error),
    Broken(io::Error),
}

impl TlsStream {
    async fn handshake(
        mut tcp: TcpStream,
        mut session: UnbufferedClientConnection,
        gulps: Arc<Buffers>,
    ) -> Result<Self, Handshake> {
        let mut coded = BytesMut::new();
        let mut outgoing = Vec::new();
        loop {
            let UnbufferedStatus { discard, state, .. } = session.process_tls_records(&mut coded);
            let wants = match state.map_err(Handshake::Refused)? {
                ConnectionState::EncodeTlsData(data) => {
                    encode(data, &mut outgoing).map_err(Handshake::Broken)?;
                    Wants::Nothing
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    Wants::Write
                }
                ConnectionState::BlockedHandshake => Wants::Read,
                ConnectionState::WriteTraffic(_) => Wants::End,
                _ => return Err(Handshake::Broken(io::ErrorKind::UnexpectedEof.into())),
            };
            coded.advance(discard);
            match wants {
                Wants::Nothing => {}
                Wants::Write => {
                    tcp.write_all(&outgoing).await.map_err(Handshake::Broken)?;
                    outgoing.clear();
                }
                Wants::Read => {
                    coded.reserve(HANDSHAKE_BYTES);
                    if tcp.read_buf(&mut coded).await.map_err(Handshake::Broken)? == 0 {
                        return Err(Handshake::Broken(io::ErrorKind::UnexpectedEof.into()));
                    }
                    if coded.len() > HANDSHAKE_LIMIT {
                        return Err(Handshake::Broken(io::ErrorKind::InvalidData.into()));
                    }
                }
                Wants::End => break,
            }
        }
        let undecided = !coded.is_empty();
        let (plain, closed, ended) = (Bytes::new(), false, false);
        Ok(Self { tcp, session, gulps, coded, undecided, plain, outgoing, closed, ended, failure: None })
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.encrypt(bytes)?;
        self.tcp.write_all(&self.outgoing).await?;
        self.outgoing.clear();
        Ok(())
    }

    /// Encrypts `head` and then `piece`, once nothing waits for the socket; ready when all of it is written there.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut &[u8],
        piece: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        self.poll_flush(cx)?;
        if self.outgoing.is_empty() {
            if !head.is_empty() {
                self.encrypt(head)?;
                *head = &[];
            }
            if !piece.is_empty() {
                self.encrypt(piece)?;
                piece.clear();
            }
            self.poll_flush(cx)?;
        }
        if self.outgoing.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Appends `bytes` to the bytes that wait for the socket.
    fn encrypt(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            let UnbufferedStatus { discard, state, .. } = self.session.process_tls_records(&mut self.coded);
            let sent = match state.map_err(broken_tls)? {
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.outgoing).map(|()| false)?,
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    false
                }
                ConnectionState::WriteTraffic(mut traffic) => {
                    let at = self.outgoing.len();
                    let mut room = bytes.len() + RECORD_BYTES;
                    loop {
                        self.outgoing.resize(at + room, 0);
                        match traffic.encrypt(bytes, &mut self.outgoing[at..]) {
                            Ok(written) => {
                                self.outgoing.truncate(at + written);
                                break true;
                            }
                            Err(EncryptError::InsufficientSize(size)) => room = size.required_size,
                            Err(error) => return Err(broken_tls(error)),
                        }
                    }
                }
                // It closed, or speaks before it was asked.
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            self.coded.advance(discard);
            if sent {
                return Ok(());
            }
        }
    }

    /// Ready once a read may bring something.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let decided = self.closed || self.ended || self.failure.is_some();
        if decided || self.undecided || !self.plain.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.tcp.poll_read_ready(cx)
    }

    /// Reads as much into `room` as there is, over as many records as it takes; 0 at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        let mut filled = self.plain.len().min(room.len());
        room[..filled].copy_from_slice(&self.plain[..filled]);
        self.plain.advance(filled);
        // A server may close after an answer that came before the request's end: the answer is read all the same, and a
        // connection that is broken fails to be read.
        if self.poll_flush(cx).is_err() {
            self.outgoing.clear();
        }
        // Not every record holds something for the caller.
        while filled < room.len() && !self.closed && !self.ended {
            // A silent socket holds no buffer, and causes no copies.
            if !self.undecided && self.tcp.poll_read_ready(cx)?.is_pending() {
                return if filled > 0 { Poll::Ready(Ok(filled)) } else { Poll::Pending };
            }
            filled += self.gulp(cx, &mut room[filled..])?;
            if filled > 0 {
                break;
            }
        }
        if filled == 0 && self.ended && !self.closed {
            // An attacker with the power to cut a connection could otherwise shorten a body that ends with it.
            let cut = "the connection closed without TLS's goodbye";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut)));
        }
        Poll::Ready(Ok(filled))
    }

    /// Reads records and decrypts them until `room` is full or the socket is empty.
    fn gulp(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> io::Result<usize> {
        let mut gulp = self.gulps.take();
        let gulp = gulp.room();
        // The record that began in the last call continues in this one.
        let (mut start, mut end, mut filled) = (0, self.coded.len(), 0);
        gulp[..end].copy_from_slice(&self.coded);
        let outcome = loop {
            if self.undecided {
                match self.decrypt(&mut gulp[start..end], &mut room[filled..]) {
                    Ok(decrypted) => {
                        start += decrypted.used;
                        filled += decrypted.filled;
                        self.undecided = decrypted.undecided;
                    }
                    Err(error) => break Err(error),
                }
            }
            if filled == room.len() || self.closed {
                break Ok(());
            }
            gulp.copy_within(start..end, 0);
            (start, end) = (0, end - start);
            // No more than the buffer takes, so that little is left over; but no crumbs either.
            let missing = room.len() - filled;
            let wanted = missing + (missing / RECORD_BYTES + 2) * RECORD_OVERHEAD;
            let until = gulp.len().min(wanted.max(end + RECORD_BYTES));
            let mut buffer = ReadBuf::new(&mut gulp[end..until]);
            match Pin::new(&mut self.tcp).poll_read(cx, &mut buffer) {
                Poll::Pending => break Ok(()),
                Poll::Ready(Err(error)) => break Err(error),
                Poll::Ready(Ok(())) => {}
            }
            let read = buffer.filled().len();
            if read == 0 {
                self.ended = true;
                break Ok(());
            }
            end += read;
            self.undecided = true;
        };
        self.coded.clear();
        self.coded.extend_from_slice(&gulp[start..end]);
        match outcome {
            Ok(()) => Ok(filled),
            Err(error) if filled == 0 => Err(error),
            Err(error) => {
                self.failure = Some(error);
                Ok(filled)
            }
        }
    }

    /// Decrypts the records in `coded` until `room` is full or no record is whole.
    fn decrypt(&mut self, coded: &mut [u8], room: &mut [u8]) -> io::Result<Decrypted> {
        let (mut used, mut filled) = (0, 0);
        loop {
            let UnbufferedStatus { mut discard, state, .. } = self.session.process_tls_records(&mut coded[used..]);
            let undecided = match state.map_err(broken_tls)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken_tls)?;
                        discard += record.discard;
                        let taken = record.payload.len().min(room.len() - filled);
                        room[filled..filled + taken].copy_from_slice(&record.payload[..taken]);
                        filled += taken;
                        if taken < record.payload.len() {
                            self.plain = [&self.plain, &record.payload[taken..]].concat().into();
                        }
                    }
                    (filled == room.len()).then_some(true)
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.outgoing).map(|()| None)?,
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.closed = true;
                    Some(false)
                }
                _ => Some(false),
            };
            used += discard;
            if let Some(undecided) = undecided {
                return Ok(Decrypted { used, filled, undecided });
            }
        }
    }

    /// Sends the messages of rustls, as far as the socket accepts them now; a later call sends the rest.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match Pin::new(&mut self.tcp).poll_write(cx, &self.outgoing) {
                Poll::Ready(written) => drop(self.outgoing.drain(..written?)),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Whether everything that came was asked for and read.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.closed && !self.ended && self.coded.is_empty() && self.plain.is_empty() && self.outgoing.is_empty()
    }

    /// Gives memory back that the next answer will need again, but that need not be held until then.
    pub(super) fn rest(&mut self) {
        if self.is_at_rest() {
            (self.coded, self.plain, self.outgoing) = (BytesMut::new(), Bytes::new(), Vec::new());
        }
    }
}

enum Wants {
    Nothing,
    Read,
    Write,
    End,
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) -> io::Result<()> {
    let at = outgoing.len();
    let mut room = 1024;
    loop {
        outgoing.resize(at + room, 0);
        match data.encode(&mut outgoing[at..]) {
            Ok(written) => {
                outgoing.truncate(at + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(error) => return Err(broken_tls(error)),
        }
    }
}

fn broken_tls(error: impl Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
