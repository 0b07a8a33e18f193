//! Standard output and input as a program gets them: they may be closed, or on a file system that reports errors late.
//! The crate s3tune has a link to this file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether standard output was closed when the process began (`cp ... - >&-`).
///
/// Rust's runtime opens `/dev/null` in its place before `main`, so that no file takes its number. Afterwards it cannot
/// be distinguished from an intended `/dev/null`, so [`LOOK`] checks it earlier.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// The same of standard input (`cp - ... <&-`).
static INPUT_CLOSED: AtomicBool = AtomicBool::new(false);

extern "C" fn look() {
    #[expect(unsafe_code, reason = "before main nothing owns the descriptor")]
    // SAFETY: 1 is not -1, and the descriptor is only queried: F_GETFD of a closed descriptor returns EBADF and has no
    // effect. No other code of this program runs yet that could close or open it.
    let stdout = unsafe { BorrowedFd::borrow_raw(1) };
    CLOSED.store(rustix::io::fcntl_getfd(stdout).is_err(), Ordering::Relaxed);
    #[expect(unsafe_code, reason = "before main nothing owns the descriptor")]
    // SAFETY: as above, of 0.
    let stdin = unsafe { BorrowedFd::borrow_raw(0) };
    INPUT_CLOSED.store(rustix::io::fcntl_getfd(stdin).is_err(), Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "only a function in this section runs before Rust's runtime")]
// SAFETY: the section holds pointers to C functions, which the loader calls one by one; it passes arguments that
// `look`, as the C ABI allows, does not take. `look` uses no part of the standard library that `main` prepares.
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[used]
static LOOK: extern "C" fn() = look;

/// Whether bytes written to `path` would be lost, because it means standard output, which is closed.
pub(crate) fn is_closed(path: &Path) -> bool {
    let names = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    CLOSED.load(Ordering::Relaxed) && names.iter().any(|name| path == Path::new(name))
}

/// Duplicates the descriptor of standard input.
///
/// # Errors
///
/// Standard input is closed, or no descriptor is free.
pub(crate) fn input() -> io::Result<tokio::fs::File> {
    if INPUT_CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("it is closed"));
    }
    Ok(tokio::fs::File::from_std(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
}

/// Duplicates the descriptor of standard output; close the copy with [`close`].
pub(crate) fn duplicate() -> io::Result<tokio::fs::File> {
    Ok(tokio::fs::File::from_std(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
}

/// Closes a descriptor of standard output and returns the error, because some file systems report a full disk only at
/// close(2). Standard output itself stays open; such file systems report the error at the first close.
pub(crate) async fn close(stdout: tokio::fs::File) -> io::Result<()> {
    let file = stdout.into_std().await;
    tokio::task::spawn_blocking(|| nix::unistd::close(file)).await?.map_err(io::Error::from)
}
