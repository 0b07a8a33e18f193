//! The networks of the board.

use crate::network::{Crowd, Profile};
use crate::play::Chance;

const MIB: f64 = (1 << 20) as f64;
const MB: f64 = 1e6;
const MBIT: f64 = 1e6 / 8.0;

/// Drawn profiles: first byte 2 to 300 ms, 5 to 100 MB/s a connection, link 10 Mbit/s to 100 Gbit/s, objects 1 MiB to
/// 50 GiB, with jitter, tails, 503 limits and crowding in shares.
pub(crate) fn drawn(count: u64, seed: u64) -> Vec<Profile> {
    (0..count).map(|number| one(number, &mut Chance::new(seed * 1_000_003 + number))).collect()
}

fn one(number: u64, chance: &mut Chance) -> Profile {
    let first_byte = chance.log_uniform(0.002, 0.3);
    let connection = chance.log_uniform(5.0 * MB, 100.0 * MB);
    let link = chance.log_uniform(10.0 * MBIT, 100_000.0 * MBIT);
    let object = match number % 2 {
        0 => chance.log_uniform(MIB, 50.0 * 1024.0 * MIB),
        // About two seconds at its best.
        _ => (2.0 * link.min(200.0 * connection)).clamp(MIB, 50.0 * 1024.0 * MIB),
    };
    // No more than two minutes at its best.
    let object = object.min(120.0 * link.min(256.0 * connection)).max(MIB);
    let mut profile = Profile::new(format!("drawn {number}"), object as u64, first_byte, connection, link);
    profile.sigma = 0.1 + 0.5 * chance.uniform();
    let kind = chance.uniform();
    if kind < 0.15 {
        profile.sigma = 0.8 + 0.6 * chance.uniform();
        profile.name += ", jitter";
    } else if kind < 0.35 {
        profile.tail_share = chance.log_uniform(0.001, 0.03);
        profile.tail = chance.log_uniform(0.3, 10.0);
        profile.name += ", tail";
    } else if kind < 0.45 {
        profile.requests = Some(chance.log_uniform(20.0, 500.0));
        profile.name += ", 503";
    } else if kind < 0.55 {
        profile.crowd = Some(Crowd::Congestion(chance.log_uniform(4.0, 64.0) as u32));
        profile.name += ", congestion";
    }
    profile
}

/// The cases that others have published, or have failed on.
pub(crate) fn known() -> Vec<Profile> {
    let mut all = Vec::new();
    // xet-core's matrix.
    for mbit in [10.0, 100.0, 1000.0, 10_000.0] {
        for ms in [20.0, 250.0] {
            let object = (4.0 * mbit * MBIT).max(8.0 * MIB) as u64;
            let name = format!("xet {mbit} Mbit/s {ms} ms");
            let plain = Profile::new(name.clone(), object, ms / 1e3, 60.0 * MB, mbit * MBIT);
            let mut heavy = plain.clone();
            heavy.name += " heavy";
            heavy.crowd = Some(Crowd::Congestion(16));
            heavy.sigma = 1.0;
            all.extend([plain, heavy]);
        }
    }
    all.push(Profile::new("250 ms", 64 << 20, 0.25, 40.0 * MB, 400.0 * MB));
    all.push(Profile::new("slow connections", 128 << 20, 0.03, 5.0 * MB, 300.0 * MB));
    all.push(Profile::new("24 MiB", 24 << 20, 0.03, 12.0 * MB, 400.0 * MB));
    all.push(Profile::new("fast connections", 256 << 20, 0.015, 200.0 * MB, 500.0 * MB));
    all.push(Profile::new("thin link", 64 << 20, 0.03, 10.0 * MB, 40.0 * MB));
    all.push(Profile { sigma: 1.2, ..Profile::new("uneven", 64 << 20, 0.04, 15.0 * MB, 1e10) });
    let stragglers = Profile::new("stragglers", 256 << 20, 0.03, 20.0 * MB, 300.0 * MB);
    all.push(Profile { tail_share: 0.02, tail: 2.5, ..stragglers });
    let region = Profile::new("same region", 256 << 20, 0.03, 28.0 * MB, 400.0 * MB);
    all.push(Profile { sigma: 0.4, tail_share: 0.01, tail: 0.15, connect: 0.01, ..region });
    let far = Profile::new("far", 128 << 20, 0.15, 12.0 * MB, 200.0 * MB);
    all.push(Profile { sigma: 0.3, tail_share: 0.01, tail: 0.4, connect: 0.3, ..far });
    let limited = Profile::new("25 requests/s", 256 << 20, 0.03, 40.0 * MB, 400.0 * MB);
    all.push(Profile { requests: Some(25.0), ..limited });
    for most in [8, 48] {
        let few = Profile::new(format!("{most} requests at once"), 1 << 30, 0.03, 10.0 * MB, 400.0 * MB);
        all.push(Profile { at_once: Some(most), ..few });
    }
    let collapse = Profile::new("collapse above 24", 2 << 30, 0.03, 30.0 * MB, 3000.0 * MB);
    all.push(Profile { crowd: Some(Crowd::Collapse(24, 0.01)), ..collapse.clone() });
    all.push(Profile { name: "collapse above 5".into(), crowd: Some(Crowd::Collapse(5, 0.01)), ..collapse });
    let large = Profile::new("100 Gbit/s", 20 << 30, 0.03, 60.0 * MB, 12_500.0 * MB);
    all.push(large.clone());
    all.push(Profile {
        name: "one address of four".into(),
        slow_addresses: Some((0.25, 0.1)),
        object: 4 << 30,
        ..large.clone()
    });
    let region = Profile::new("refuses all for a second", 2 << 30, 0.03, 10.0 * MB, 400.0 * MB);
    all.push(Profile { storm: Some((1.0, 2.0)), ..region.clone() });
    all.push(Profile { name: "refuses all for 3 s".into(), storm: Some((1.0, 4.0)), ..region });
    for (ms, connection, link, object) in
        [(20.0, 90.0, 1250.0, 1024), (80.0, 60.0, 1250.0, 1024), (150.0, 30.0, 400.0, 512)]
    {
        let seconds = ms / 1e3;
        let far =
            Profile::new(format!("slow start, {ms} ms"), object << 20, seconds + 0.02, connection * MB, link * MB);
        all.push(Profile { connect: seconds, round_trip: Some(seconds), ..far });
    }
    let drops = Profile::new("link drops to a quarter", 8 << 30, 0.03, 60.0 * MB, 1250.0 * MB);
    all.push(Profile { outage: Some((2.0, 5.0, 0.25)), ..drops });
    all
}
