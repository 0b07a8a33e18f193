//! Servers over real sockets, with both HTTP clients: answers that break off, odd heads, other regions, credentials.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "../wire/mod.rs"]
mod wire;

mod breaks;
mod credentials;
mod customer_key;
mod disks;
mod headers;
mod limited;
mod odd_heads;
mod regions;
mod servers;
mod starved;
mod uploads;
