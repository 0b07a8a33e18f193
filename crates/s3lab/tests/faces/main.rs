//! The lab's faces: inside the process, over TCP and over TLS, to clients that behave and to those that do not.

mod hostile;
#[cfg(feature = "sdk")]
mod in_process;
mod tcp;
mod tls;
