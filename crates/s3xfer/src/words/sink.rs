//! [`WriteAt`]: where a caller's own sink takes an object's bytes.

use std::io;

/// Takes bytes at their positions, in any order, from several threads at once.
///
/// Each byte of the object (or of the range that was asked for, whose first byte is at 0) is written exactly once, also
/// when requests are retried. Calls may block: they come from threads that may, unless
/// [`use_threads`](crate::TransferConfig::use_threads) is false.
///
/// The contract, which [`conformance`](crate::conformance) checks in the tests of a sink of your own:
/// - It MUST take all of `bytes` or return an error; the first error ends the download.
/// - It SHOULD NOT panic: a panic ends the download, too, as an error.
/// - It SHOULD NOT keep a lock while it blocks, for the other parts of the object wait then.
pub trait WriteAt: Send + Sync + 'static {
    /// Told once, before the first write, how many bytes will come.
    ///
    /// # Errors
    ///
    /// When there is no room for that many bytes: nothing is downloaded then.
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let _ = bytes;
        Ok(())
    }

    /// Takes `bytes`, whose first one belongs at `offset`.
    ///
    /// # Errors
    ///
    /// Any ends the download.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}
