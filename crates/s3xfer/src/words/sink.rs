//! [`WriteAt`]: the trait of a caller's own sink.

use std::io;

/// Takes bytes at their positions, in any order, from several threads at once.
///
/// Each byte of the object (or of the requested range, with its first byte at 0) is written exactly once, also when
/// requests are retried. Calls may block, because they come from threads that may, unless
/// [`use_threads`](crate::TransferConfig::use_threads) is false.
///
/// [`conformance`](crate::conformance) checks this contract in the tests of your sink:
/// - It MUST take all of `bytes` or return an error; the first error ends the download.
/// - It SHOULD NOT panic: a panic ends the download with an error, too.
/// - It SHOULD NOT keep a lock while it blocks, because the other parts of the object wait then.
pub trait WriteAt: Send + Sync + 'static {
    /// Called once, before the first write, with the number of bytes that will come.
    ///
    /// # Errors
    ///
    /// There is no room for that many bytes. Nothing is downloaded then.
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let _ = bytes;
        Ok(())
    }

    /// Takes `bytes`; the first of them belongs at `offset`.
    ///
    /// # Errors
    ///
    /// Any ends the download.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}
