//! The networks that recommendations are judged on. Each is slow for another reason.

use s3lab::NetworkProfile;

const MIB: u64 = 1 << 20;

/// A network, and the object that is downloaded over it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// The profile as a TOML file has it.
    profile: &'static str,
    /// The object's size in bytes.
    pub(crate) object: u64,
}

/// Twelve of them.
pub(crate) const ALL: [Network; 12] = [
    network("lan", 64, "first_byte_ms = 1\nfirst_byte_sigma = 0.2\nconnection_mb_per_s = 500\nlink_mb_per_s = 1000"),
    network(
        "same region",
        128,
        "first_byte_ms = 30\nfirst_byte_sigma = 0.4\ntail_fraction = 0.01\ntail_ms = 150\nconnect_ms = 10\n\
         connection_mb_per_s = 28\nlink_mb_per_s = 400",
    ),
    network(
        "far",
        64,
        "first_byte_ms = 150\nfirst_byte_sigma = 0.3\ntail_fraction = 0.01\ntail_ms = 400\nconnect_ms = 300\n\
         connection_mb_per_s = 12\nlink_mb_per_s = 200",
    ),
    network("200 MB/s a connection", 128, "first_byte_ms = 15\nconnection_mb_per_s = 200\nlink_mb_per_s = 500"),
    network("thin link", 24, "first_byte_ms = 30\nconnection_mb_per_s = 10\nlink_mb_per_s = 40"),
    network("late first byte", 64, "first_byte_ms = 250\nconnection_mb_per_s = 40\nlink_mb_per_s = 400"),
    network("uneven first byte", 64, "first_byte_ms = 40\nfirst_byte_sigma = 1.2\nconnection_mb_per_s = 15"),
    network("slow connections", 128, "first_byte_ms = 30\nconnection_mb_per_s = 5\nlink_mb_per_s = 300"),
    network(
        "stragglers",
        64,
        "first_byte_ms = 30\ntail_fraction = 0.02\ntail_ms = 2500\nconnection_mb_per_s = 20\nlink_mb_per_s = 300",
    ),
    network(
        "25 requests a second",
        128,
        "first_byte_ms = 30\nconnection_mb_per_s = 40\nlink_mb_per_s = 400\nrequests_per_s = 25",
    ),
    network("24 MiB object", 24, "first_byte_ms = 30\nconnection_mb_per_s = 12\nlink_mb_per_s = 400"),
    network(
        "small and far",
        8,
        "first_byte_ms = 100\nfirst_byte_sigma = 0.3\nconnect_ms = 100\nconnection_mb_per_s = 8",
    ),
];

/// No configuration is better than another here, but for the noise.
pub(crate) const FLAT: Network = network(
    "flat and noisy",
    16,
    "first_byte_ms = 20\nfirst_byte_sigma = 1.0\ntail_fraction = 0.05\ntail_ms = 120\nlink_mb_per_s = 50",
);

const fn network(name: &'static str, mib: u64, profile: &'static str) -> Network {
    Network { name, profile, object: mib * MIB }
}

impl Network {
    /// Its profile, with randomness of this seed.
    pub(crate) fn profile(self, seed: u64) -> NetworkProfile {
        let profile = NetworkProfile::from_toml(self.profile).expect("the profiles above are well-formed");
        profile.with_seed(seed).expect("every seed below 2^63 is one")
    }
}
