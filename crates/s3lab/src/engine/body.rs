//! Bodies at the network's pace: the bytes of a connection in either direction, quantum by quantum, and the faults
//! planned for it.
//!
//! If an answer's body is dropped early, its connection counts as closed and its request as ended; nothing else
//! remains.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::line::{Connection, Direction, Line};
use crate::doors::s3::{Body, StdError};
use crate::rules::faults::{BodyFaults, Step};
use crate::rules::network::{Flow, QUANTUM_BYTES};

/// Pause between the last byte and a reset or an early end, so that the bytes before it can leave this process.
const FLUSH: Duration = Duration::from_millis(5);

/// Number of times that a body yields to another one before it goes ahead, enough for a woken task to run. The number
/// is bounded, because the other task may wait for a paused clock.
const MOST_YIELDS: u32 = 8;

/// Paces the pieces of one body.
pub(super) struct Pacer {
    line: Arc<Line>,
    direction: Direction,
    /// Absent where nothing limits the bandwidth.
    flow: Option<Flow>,
    /// A planned rate in bytes a second, and when its last byte is through.
    slow: Option<(u64, Duration)>,
    sleep: Option<Pin<Box<Sleep>>>,
    yields: u32,
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.arrived();
    }
}

impl Pacer {
    /// A pacer whose first byte is ready at `start`.
    pub(super) fn new(line: Arc<Line>, direction: Direction, start: Duration, slow: Option<u64>) -> Self {
        let flow = line.open(direction, start);
        Self { line, direction, flow, slow: slow.map(|rate| (rate, start)), sleep: None, yields: 0 }
    }

    /// The most bytes to hand over at once.
    fn quantum(&self) -> usize {
        match (self.slow, self.flow) {
            // A tenth of a second's worth, so that a slow body is a trickle.
            (Some((rate, _)), _) => usize::try_from(rate / 10).unwrap_or(usize::MAX).clamp(1, QUANTUM_BYTES),
            (None, Some(_)) => QUANTUM_BYTES,
            (None, None) => usize::MAX,
        }
    }

    /// Hands `bytes` to the network. It is pending while other bodies come first. Afterwards [`poll`](Self::poll) is
    /// ready once the bytes have arrived.
    fn poll_reserve(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<()> {
        if self.flow.is_none() && self.slow.is_none() {
            return Poll::Ready(());
        }
        let now = self.line.clock.now();
        let mut arrives = Duration::ZERO;
        if let Some(flow) = &mut self.flow {
            let insists = self.yields >= MOST_YIELDS;
            let Some(at) = self.line.link(self.direction, |link| link.reserve(flow, bytes, now, insists)) else {
                self.yields += 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            };
            self.yields = 0;
            arrives = at;
        }
        if let Some((rate, at)) = &mut self.slow {
            // No catch-up here: a planned rate is an upper bound.
            *at = (*at).max(now) + Duration::from_secs_f64(bytes as f64 / *rate as f64);
            arrives = arrives.max(*at);
        }
        if arrives > now {
            self.sleep_until(arrives);
        }
        Poll::Ready(())
    }

    /// Hands the reserved bytes over, or gives them up.
    fn arrived(&mut self) {
        if let Some(flow) = &self.flow {
            self.line.link(self.direction, |link| link.arrived(flow));
        }
    }

    fn sleep_until(&mut self, at: Duration) {
        self.sleep = Some(Box::pin(self.line.clock.timer(at)));
    }

    fn pause(&mut self, duration: Duration) {
        self.sleep_until(self.line.clock.now() + duration);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        Poll::Ready(())
    }
}

/// Counts a request as in progress until dropped.
pub(super) struct InFlight(pub(super) Arc<Line>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.counters.left();
    }
}

enum Stage {
    Running,
    /// A stall without end.
    Stuck,
    /// The connection breaks at the next poll.
    Breaking(io::ErrorKind),
    Ended,
}

/// An answer's body.
pub(crate) struct LabBody {
    source: Body,
    stage: Stage,
    pending: Bytes,
    /// Handed to the network, not yet arrived.
    travelling: Option<Bytes>,
    pacer: Pacer,
    faults: BodyFaults,
    position: u64,
    /// The number in `Content-Length`, where that header is sent.
    length: Option<u64>,
    connection: Arc<Connection>,
    _in_flight: InFlight,
}

impl LabBody {
    pub(super) fn new(
        source: Body,
        length: Option<u64>,
        faults: BodyFaults,
        pacer: Pacer,
        connection: Arc<Connection>,
        in_flight: InFlight,
    ) -> Self {
        let stage = if length == Some(0) && faults.is_none() { Stage::Ended } else { Stage::Running };
        let body = Self {
            source,
            stage,
            pending: Bytes::new(),
            travelling: None,
            pacer,
            faults,
            position: 0,
            length,
            connection,
            _in_flight: in_flight,
        };
        if matches!(body.stage, Stage::Ended) {
            body.connection.reusable();
        }
        body
    }

    /// An answer without a body: to HEAD, or 304. `length` is still the value of the header.
    pub(super) fn empty(pacer: Pacer, connection: Arc<Connection>, in_flight: InFlight) -> Self {
        Self::new(Body::empty(), Some(0), BodyFaults::default(), pacer, connection, in_flight)
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            ready!(self.pacer.poll(cx));
            match self.stage {
                Stage::Running => {}
                Stage::Stuck => return Poll::Pending,
                Stage::Ended => return Poll::Ready(None),
                Stage::Breaking(kind) => {
                    self.stage = Stage::Ended;
                    if kind == io::ErrorKind::ConnectionReset {
                        self.connection.abort();
                    }
                    return Poll::Ready(Some(Err(io::Error::new(kind, "a planned fault broke the connection"))));
                }
            }
            if let Some(piece) = self.travelling.take() {
                self.pacer.arrived();
                self.position += piece.len() as u64;
                self.pacer.line.counters.bytes_out.fetch_add(piece.len() as u64, Ordering::Relaxed);
                // A client that counts bytes stops reading after the last one; the connection is still whole.
                if self.length == Some(self.position) {
                    self.stage = Stage::Ended;
                    self.connection.reusable();
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.pending.is_empty() {
                match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                    Some(Ok(frame)) => self.pending = frame.into_data().unwrap_or_default(),
                    Some(Err(error)) => {
                        self.stage = Stage::Ended;
                        return Poll::Ready(Some(Err(io::Error::other(error))));
                    }
                    None => {
                        self.stage = Stage::Ended;
                        self.connection.reusable();
                        return Poll::Ready(None);
                    }
                }
                continue;
            }
            let mut most = self.pacer.quantum().min(self.pending.len());
            match self.faults.step(self.position) {
                Step::Send(bytes) => most = most.min(usize::try_from(bytes).unwrap_or(usize::MAX)),
                Step::Stall(Some(duration)) => {
                    self.pacer.pause(duration);
                    continue;
                }
                Step::Stall(None) => {
                    self.stage = Stage::Stuck;
                    continue;
                }
                Step::Reset => {
                    self.stage = Stage::Breaking(io::ErrorKind::ConnectionReset);
                    self.pacer.pause(FLUSH);
                    continue;
                }
                Step::End => {
                    self.stage = Stage::Breaking(io::ErrorKind::UnexpectedEof);
                    self.pacer.pause(FLUSH);
                    continue;
                }
            }
            ready!(self.pacer.poll_reserve(most, cx));
            self.travelling = Some(self.pending.split_to(most));
        }
    }
}

impl http_body::Body for LabBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_bytes(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, |length| SizeHint::with_exact(length.saturating_sub(self.position)))
    }
}

/// Tells the gate that a request's body has met its planned end.
#[derive(Default)]
pub(super) struct Breaking {
    struck: AtomicBool,
    told: Notify,
}

impl Breaking {
    fn strike(&self) {
        self.struck.store(true, Ordering::Release);
        self.told.notify_one();
    }

    /// Completes once the body has met its end.
    pub(super) async fn struck(&self) {
        while !self.struck.load(Ordering::Acquire) {
            self.told.notified().await;
        }
    }
}

/// A request's body on its way in.
pub(super) struct Upload<B> {
    source: B,
    pending: Bytes,
    travelling: Option<Bytes>,
    pacer: Pacer,
    faults: BodyFaults,
    /// Places of bytes that arrive inverted.
    corrupt: Vec<u64>,
    position: u64,
    stuck: bool,
    breaking: Arc<Breaking>,
}

impl<B> Upload<B> {
    pub(super) fn new(source: B, pacer: Pacer, faults: BodyFaults, corrupt: Vec<u64>, breaking: Arc<Breaking>) -> Self {
        let (pending, travelling, position) = (Bytes::new(), None, 0);
        Self { source, pending, travelling, pacer, faults, corrupt, position, stuck: false, breaking }
    }

    /// Meets a fault, if `step` is one.
    fn meets(&mut self, step: Step) -> bool {
        match step {
            Step::Send(_) => return false,
            Step::Stall(Some(duration)) => self.pacer.pause(duration),
            Step::Stall(None) => self.stuck = true,
            Step::Reset | Step::End => {
                self.stuck = true;
                self.breaking.strike();
            }
        }
        true
    }

    /// The piece, with the bytes inverted that are planned to be.
    fn arriving(&mut self, piece: Bytes) -> Bytes {
        let held = self.position..self.position + piece.len() as u64;
        self.position = held.end;
        if !self.corrupt.iter().any(|at| held.contains(at)) {
            return piece;
        }
        let mut copy = piece.to_vec();
        for at in self.corrupt.iter().filter(|at| held.contains(at)) {
            copy[(at - held.start) as usize] ^= 0xff;
        }
        copy.into()
    }
}

impl<B> http_body::Body for Upload<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = self.get_mut();
        loop {
            ready!(this.pacer.poll(cx));
            if let Some(piece) = this.travelling.take() {
                this.pacer.arrived();
                this.pacer.line.counters.bytes_in.fetch_add(piece.len() as u64, Ordering::Relaxed);
                return Poll::Ready(Some(Ok(Frame::data(this.arriving(piece)))));
            }
            if this.stuck {
                return Poll::Pending;
            }
            if this.pending.is_empty() {
                match ready!(Pin::new(&mut this.source).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => this.pending = data,
                        Err(other) => return Poll::Ready(Some(Ok(other))),
                    },
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    None => {
                        let step = this.faults.at_the_end();
                        if this.meets(step) {
                            continue;
                        }
                        return Poll::Ready(None);
                    }
                }
                continue;
            }
            let step = this.faults.step(this.position);
            if this.meets(step) {
                continue;
            }
            let mut most = this.pacer.quantum().min(this.pending.len());
            if let Step::Send(bytes) = step {
                most = most.min(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            ready!(this.pacer.poll_reserve(most, cx));
            this.travelling = Some(this.pending.split_to(most));
        }
    }

    fn is_end_stream(&self) -> bool {
        let through = self.pending.is_empty() && self.travelling.is_none() && self.source.is_end_stream();
        through && self.faults.is_none() && !self.stuck
    }

    fn size_hint(&self) -> SizeHint {
        let held = (self.pending.len() + self.travelling.as_ref().map_or(0, Bytes::len)) as u64;
        let rest = self.source.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
