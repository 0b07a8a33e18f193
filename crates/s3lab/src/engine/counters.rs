//! Counters of requests, and a bounded log of the last ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::words::{RequestKind, RequestRecord, Stats};

/// All counters of one lab.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) bytes_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) faults: AtomicU64,
    connections_opened: AtomicU64,
    connections_open: AtomicU64,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    records: VecDeque<RequestRecord>,
    capacity: usize,
    next: u64,
    by_kind: BTreeMap<RequestKind, u64>,
    in_flight: u64,
    max_in_flight: u64,
    slow_downs: u64,
}

impl Counters {
    pub(crate) fn new(log_capacity: usize) -> Self {
        Self {
            bytes_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            connections_opened: AtomicU64::new(0),
            connections_open: AtomicU64::new(0),
            log: Mutex::new(Log {
                records: VecDeque::new(),
                capacity: log_capacity,
                next: 0,
                by_kind: BTreeMap::new(),
                in_flight: 0,
                max_in_flight: 0,
                slow_downs: 0,
            }),
        }
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().expect("no counting code panics")
    }

    /// A connection opened; gives its number.
    pub(crate) fn connection_opened(&self) -> u64 {
        self.connections_open.fetch_add(1, Ordering::Relaxed);
        self.connections_opened.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request arrived; gives its number, which the record gets too.
    pub(crate) fn arrived(&self, mut record: RequestRecord) -> u64 {
        let mut log = self.log();
        let ordinal = log.next;
        log.next += 1;
        *log.by_kind.entry(record.kind).or_default() += 1;
        log.in_flight += 1;
        log.max_in_flight = log.max_in_flight.max(log.in_flight);
        record.ordinal = ordinal;
        if log.capacity > 0 {
            if log.records.len() == log.capacity {
                log.records.pop_front();
            }
            log.records.push_back(record);
        }
        ordinal
    }

    /// The request was answered.
    pub(crate) fn answered(&self, ordinal: u64, status: u16) {
        let mut log = self.log();
        if status == 503 {
            log.slow_downs += 1;
        }
        let index = log.records.front().and_then(|first| ordinal.checked_sub(first.ordinal));
        if let Some(record) = index.and_then(|i| usize::try_from(i).ok()).and_then(|i| log.records.get_mut(i)) {
            record.status = Some(status);
        }
    }

    /// The request's answer was handed over, or given up.
    pub(crate) fn left(&self) {
        self.log().in_flight -= 1;
    }

    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.log().records.iter().cloned().collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        let log = self.log();
        Stats {
            requests: log.by_kind.clone(),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            connections_opened: self.connections_opened.load(Ordering::Relaxed),
            connections_open: self.connections_open.load(Ordering::Relaxed),
            in_flight: log.in_flight,
            max_in_flight: log.max_in_flight,
            slow_downs: log.slow_downs,
            faults: self.faults.load(Ordering::Relaxed),
        }
    }
}
