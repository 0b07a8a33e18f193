//! The suite of sinks finds sinks that break the contract, each by the property that it breaks.

use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use s3xfer::WriteAt;
use s3xfer::conformance::{assert_full_is_an_error, assert_write_at, bytes_arrive_in_any_order};

/// Bytes in memory, with a fault.
struct Memory {
    bytes: Mutex<Vec<u8>>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Takes the first 4,000 bytes of a piece and says that it took all.
    Short,
    /// Puts each piece behind the one before it.
    Appends,
    /// Writes into a copy of all bytes, and puts it in the place of what others have written meanwhile.
    LosesOthers,
    /// Has room for 1,000 bytes, and lets the others go.
    DropsTheRest,
    Panics,
    Fails,
}

impl WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let put = |all: &mut Vec<u8>, offset: usize, bytes: &[u8]| {
            all.resize(all.len().max(offset + bytes.len()), 0);
            all[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        let offset = usize::try_from(offset).unwrap();
        match self.fault {
            Some(Fault::Short) => put(&mut self.bytes.lock().unwrap(), offset, &bytes[..bytes.len().min(4_000)]),
            Some(Fault::Appends) => self.bytes.lock().unwrap().extend_from_slice(bytes),
            Some(Fault::LosesOthers) => {
                let mut copy = self.bytes.lock().unwrap().clone();
                put(&mut copy, offset, bytes);
                thread::sleep(Duration::from_millis(1));
                *self.bytes.lock().unwrap() = copy;
            }
            Some(Fault::DropsTheRest) if offset >= 1_000 => {}
            Some(Fault::Panics) => panic!("not a byte more"),
            Some(Fault::Fails) => return Err(io::Error::other("enough")),
            Some(Fault::DropsTheRest) | None => put(&mut self.bytes.lock().unwrap(), offset, bytes),
        }
        Ok(())
    }
}

fn memory(fault: impl Into<Option<Fault>>) -> impl Fn() -> Memory {
    let fault = fault.into();
    move || Memory { bytes: Mutex::default(), fault }
}

fn read(sink: Memory) -> Vec<u8> {
    sink.bytes.into_inner().unwrap()
}

#[test]
fn a_sink_that_keeps_the_contract_passes_for_any_seed() {
    for seed in 0..20 {
        assert_write_at(seed, memory(None), read);
    }
}

#[tokio::test]
async fn a_sink_is_called_within_the_runtime_that_there_is() {
    struct Asks(Memory);
    impl WriteAt for Asks {
        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
            self.0.write_at(offset, bytes)
        }
    }
    assert_write_at(1, || Asks(memory(None)()), |sink| read(sink.0));
}

#[test]
#[should_panic(expected = "breaks the property \"bytes arrive in any order\" (seed 3): 8191 bytes")]
fn a_sink_that_takes_a_part_of_a_piece_is_caught() {
    assert_write_at(3, memory(Fault::Short), read);
}

#[test]
#[should_panic(expected = "bytes backwards: the byte at 0 is")]
fn a_sink_without_positions_is_caught() {
    bytes_arrive_in_any_order(3, memory(Fault::Appends), read);
}

#[test]
#[should_panic(expected = "breaks the property \"bytes arrive from several threads at once\" (seed 3)")]
fn a_sink_that_loses_what_others_write_is_caught() {
    assert_write_at(3, memory(Fault::LosesOthers), read);
}

#[test]
#[should_panic(expected = "it took 1001 bytes, one more than it has room for")]
fn a_full_sink_that_does_not_say_so_is_caught() {
    assert_full_is_an_error(3, 1_000, memory(Fault::DropsTheRest));
}

#[test]
#[should_panic(expected = "(seed 3): it panicked: not a byte more")]
fn a_sink_that_panics_is_caught_with_its_word() {
    assert_write_at(3, memory(Fault::Panics), read);
}

#[test]
#[should_panic(expected = "1 bytes forwards: the write of 0 to 1: enough")]
fn a_sink_that_refuses_a_byte_is_caught_with_its_error() {
    assert_write_at(3, memory(Fault::Fails), read);
}
