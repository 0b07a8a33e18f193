//! The contract of [`WriteAt`] as functions for the tests of a sink of your own.
//!
//! [`assert_write_at`] checks that bytes arrive as they were sent, in any order and from several threads at once;
//! [`assert_full_is_an_error`] checks that a sink without room reports an error. They panic and name the broken
//! property. `make` gives a new sink each time. `read` takes a sink after its last write and gives its bytes. The order
//! and the size of pieces come from `seed`.
//!
//! As in a download, the size is announced beforehand (`reserve`), no byte is written twice, and no piece is empty. The
//! sink's methods are called on other threads, within the current tokio runtime if there is one.
//!
//! ```
//! use std::io;
//! use std::os::unix::fs::FileExt;
//! use s3xfer::{WriteAt, conformance};
//!
//! /// A temporary file.
//! struct Scratch(std::fs::File);
//!
//! impl WriteAt for Scratch {
//!     fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
//!         self.0.write_all_at(bytes, offset)
//!     }
//! }
//!
//! let make = || Scratch(tempfile::tempfile().expect("a folder for temporary files"));
//! let read = |sink: Scratch| {
//!     let mut bytes = vec![0; sink.0.metadata().expect("an open file").len() as usize];
//!     sink.0.read_exact_at(&mut bytes, 0).expect("an open file");
//!     bytes
//! };
//! conformance::assert_write_at(7, make, read);
//! ```

use std::any::type_name;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Barrier;
use std::thread;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Handle;

use crate::words::sink::WriteAt;

/// Sizes of objects: none, one byte, and some about the border of a block.
const SIZES: [u64; 6] = [0, 1, 8 * 1024 - 1, 8 * 1024, 8 * 1024 + 1, 100_003];
/// Number of threads that write at once.
const THREADS: usize = 8;
/// The largest piece, in bytes.
const PIECE: u64 = 5_000;

/// Checks [`bytes_arrive_in_any_order`] and [`bytes_arrive_from_several_threads`].
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn assert_write_at<W: WriteAt>(seed: u64, make: impl Fn() -> W, read: impl Fn(W) -> Vec<u8>) {
    bytes_arrive_in_any_order(seed, &make, &read);
    bytes_arrive_from_several_threads(seed, make, read);
}

/// Every byte is at its place, and there are no more: for objects of several sizes, none included, in pieces of many
/// sizes, from the first to the last, from the last to the first, and shuffled.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn bytes_arrive_in_any_order<W: WriteAt>(seed: u64, make: impl Fn() -> W, read: impl Fn(W) -> Vec<u8>) {
    property::<W>("bytes arrive in any order", seed, || {
        let mut random = StdRng::seed_from_u64(seed);
        for size in SIZES {
            let forwards = pieces(size, &mut random);
            let backwards = forwards.iter().rev().cloned().collect();
            let mut shuffled = forwards.clone();
            shuffled.shuffle(&mut random);
            for (order, pieces) in [("forwards", forwards), ("backwards", backwards), ("shuffled", shuffled)] {
                let sink = make();
                let written = write(&sink, size, seed, &[pieces]);
                let checked = written.and_then(|()| compare(&read(sink), size, seed));
                checked.map_err(|breach| format!("{size} bytes {order}: {breach}"))?;
            }
        }
        Ok(())
    });
}

/// Every byte is at its place where threads write neighbouring pieces at once.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn bytes_arrive_from_several_threads<W: WriteAt>(seed: u64, make: impl Fn() -> W, read: impl Fn(W) -> Vec<u8>) {
    property::<W>("bytes arrive from several threads at once", seed, || {
        let mut random = StdRng::seed_from_u64(seed);
        for size in SIZES {
            let mut shares = vec![Vec::new(); THREADS];
            pieces(size, &mut random).into_iter().enumerate().for_each(|(i, piece)| shares[i % THREADS].push(piece));
            let sink = make();
            let written = write(&sink, size, seed, &shares);
            let checked = written.and_then(|()| compare(&read(sink), size, seed));
            checked.map_err(|breach| format!("{size} bytes from {THREADS} threads: {breach}"))?;
        }
        Ok(())
    });
}

/// A sink with room for `room` bytes that is to take more answers with an error, when it is told of the size or when
/// it is written to, and does not panic.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn assert_full_is_an_error<W: WriteAt>(seed: u64, room: u64, make: impl Fn() -> W) {
    property::<W>("a sink without room says so", seed, || {
        let size = room.saturating_add(1);
        let mut random = StdRng::seed_from_u64(seed);
        let mut pieces = pieces(size, &mut random);
        pieces.shuffle(&mut random);
        let sink = make();
        if sink.reserve(size).is_err() {
            return Ok(());
        }
        let refused = pieces.into_iter().any(|piece| sink.write_at(piece.start, &content(piece, seed)).is_err());
        if refused { Ok(()) } else { Err(format!("it took {size} bytes, one more than it has room for")) }
    });
}

/// Panics where a check finds a breach, and where the sink panics.
#[track_caller]
fn property<W>(says: &str, seed: u64, check: impl FnOnce() -> Result<(), String>) {
    let breach = match panic::catch_unwind(AssertUnwindSafe(check)) {
        Ok(Ok(())) => return,
        Ok(Err(breach)) => breach,
        Err(payload) => {
            let said = payload.downcast_ref::<&str>().copied();
            let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            format!("it panicked: {}", said.unwrap_or("no message"))
        }
    };
    panic!("sink `{}` breaks the property \"{says}\" (seed {seed}): {breach}", type_name::<W>())
}

/// The ranges of an object, cut at random: many of a few bytes, some of thousands.
fn pieces(size: u64, random: &mut StdRng) -> Vec<Range<u64>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < size {
        let most = if random.random_bool(0.3) { 4 } else { PIECE };
        let end = size.min(start + random.random_range(1..=most));
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// Bytes that tell their place.
fn content(piece: Range<u64>, seed: u64) -> Vec<u8> {
    piece.map(|offset| byte(offset, seed)).collect()
}

fn byte(offset: u64, seed: u64) -> u8 {
    // Multiplied by an odd number, the upper bits of neighbours differ.
    ((offset ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// Writes an object, each share by a thread of its own.
fn write<W: WriteAt>(sink: &W, size: u64, seed: u64, shares: &[Vec<Range<u64>>]) -> Result<(), String> {
    let (runtime, together) = (Handle::try_current().ok(), Barrier::new(shares.len()));
    let entered = || runtime.as_ref().map(Handle::enter);
    let one = |share: &Vec<Range<u64>>| {
        let _entered = entered();
        together.wait();
        share.iter().try_for_each(|piece| {
            let written = sink.write_at(piece.start, &content(piece.clone(), seed));
            written.map_err(|error| format!("the write of {} to {}: {error}", piece.start, piece.end))
        })
    };
    sink.reserve(size).map_err(|error| format!("the reservation: {error}"))?;
    let joined: Vec<thread::Result<Result<(), String>>> = thread::scope(|scope| {
        let threads: Vec<_> = shares.iter().map(|share| scope.spawn(|| one(share))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    joined.into_iter().try_for_each(|ended| ended.unwrap_or_else(|payload| panic::resume_unwind(payload)))
}

/// The first byte that differs from the object's.
fn compare(read: &[u8], size: u64, seed: u64) -> Result<(), String> {
    let wrong = (0..size).zip(read).find(|(offset, is)| **is != byte(*offset, seed));
    match wrong {
        Some((offset, is)) => {
            Err(format!("the byte at {offset} is {is}, and {} was written there", byte(offset, seed)))
        }
        None if read.len() as u64 != size => Err(format!("{} bytes are there", read.len())),
        None => Ok(()),
    }
}
