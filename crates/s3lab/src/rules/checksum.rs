//! Checksums and ETags as S3 computes them: in one pass over the bytes, combined over parts, or composed of them.
//!
//! Amazon S3 user guide, "Checking object integrity": a FULL_OBJECT checksum of a multipart object is that of all its
//! bytes (CRCs only, as those combine); a COMPOSITE one is the checksum of the parts' binary checksums, with `-N`.

use md5::Digest as _;

use crate::words::{Algorithm, Content};

/// One running checksum.
enum State {
    Crc(crc_fast::Digest),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

fn crc(algorithm: Algorithm) -> Option<crc_fast::CrcAlgorithm> {
    match algorithm {
        Algorithm::Crc32 => Some(crc_fast::CrcAlgorithm::Crc32IsoHdlc),
        Algorithm::Crc32c => Some(crc_fast::CrcAlgorithm::Crc32Iscsi),
        Algorithm::Crc64Nvme => Some(crc_fast::CrcAlgorithm::Crc64Nvme),
        Algorithm::Sha1 | Algorithm::Sha256 => None,
    }
}

/// A CRC as S3 writes it: big endian, as wide as the algorithm.
fn crc_bytes(algorithm: Algorithm, value: u64) -> Vec<u8> {
    match algorithm {
        Algorithm::Crc64Nvme => value.to_be_bytes().to_vec(),
        _ => value.to_be_bytes()[4..].to_vec(),
    }
}

fn crc_value(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

impl State {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            _ => Self::Crc(crc_fast::Digest::new(crc(algorithm).expect("all but the SHAs are CRCs"))),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(state) => state.update(bytes),
            Self::Sha1(state) => state.update(bytes),
            Self::Sha256(state) => state.update(bytes),
        }
    }

    fn finish(self, algorithm: Algorithm) -> Vec<u8> {
        match self {
            Self::Crc(state) => crc_bytes(algorithm, state.finalize()),
            Self::Sha1(state) => state.finalize().to_vec(),
            Self::Sha256(state) => state.finalize().to_vec(),
        }
    }
}

/// MD5 and any other checksums of some bytes, in one pass.
pub(crate) struct Hasher {
    md5: md5::Md5,
    states: Vec<(Algorithm, State)>,
}

/// The result of a [`Hasher`], in binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) md5: [u8; 16],
    pub(crate) sums: Vec<(Algorithm, Vec<u8>)>,
}

impl Hasher {
    /// Computes MD5 and these; the same algorithm twice is computed once.
    pub(crate) fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut algorithms: Vec<_> = algorithms.into_iter().collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        Self { md5: md5::Md5::new(), states: algorithms.into_iter().map(|a| (a, State::new(a))).collect() }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        for (_, state) in &mut self.states {
            state.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Sums {
        let sums = self.states.into_iter().map(|(algorithm, state)| (algorithm, state.finish(algorithm))).collect();
        Sums { md5: self.md5.finalize().into(), sums }
    }
}

impl Sums {
    /// All of `content`, read once.
    pub(crate) fn of(content: &Content, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut hasher = Hasher::new(algorithms);
        for piece in content.slices(1 << 20) {
            hasher.update(&piece);
        }
        hasher.finish()
    }

    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.sums.iter().find(|(a, _)| *a == algorithm).map(|(_, sum)| sum.as_slice())
    }

    /// The ETag of an object stored in one piece, without quotes.
    pub(crate) fn etag(&self) -> String {
        hex(&self.md5)
    }
}

/// The CRC64NVME of `content` alone: no MD5, so 3 GiB take a few tenths of a second.
pub(crate) fn crc64nvme(content: &Content) -> Vec<u8> {
    let mut state = State::new(Algorithm::Crc64Nvme);
    for piece in content.slices(1 << 20) {
        state.update(&piece);
    }
    state.finish(Algorithm::Crc64Nvme)
}

/// The checksum of the whole from the checksums and lengths of its parts; `None` if the algorithm cannot combine them,
/// or there is no part.
pub(crate) fn full_object<'a>(
    algorithm: Algorithm,
    parts: impl IntoIterator<Item = (&'a [u8], u64)>,
) -> Option<Vec<u8>> {
    let kind = crc(algorithm)?;
    let mut parts = parts.into_iter();
    let first = crc_value(parts.next()?.0);
    let whole = parts.fold(first, |sum, (part, len)| crc_fast::checksum_combine(kind, sum, crc_value(part), len));
    Some(crc_bytes(algorithm, whole))
}

/// The composite checksum of parts, as S3 writes it: base64 and `-N`.
pub(crate) fn composite<'a>(algorithm: Algorithm, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (mut state, mut n) = (State::new(algorithm), 0);
    for part in parts {
        state.update(part);
        n += 1;
    }
    format!("{}-{n}", base64(&state.finish(algorithm)))
}

/// The ETag of a multipart object: MD5 of its parts' binary MD5s, and `-N`; without quotes.
pub(crate) fn multipart_etag<'a>(parts: impl IntoIterator<Item = &'a [u8; 16]>) -> String {
    let (mut md5, mut n) = (md5::Md5::new(), 0);
    for part in parts {
        md5.update(part);
        n += 1;
    }
    format!("{}-{n}", hex(&md5.finalize()))
}

/// A stable ETag that is no MD5 of the bytes, like that of a multipart object: MD5 of `name`, then `-parts`.
pub(crate) fn nominal_etag(name: &str, parts: usize) -> String {
    format!("{}-{parts}", hex(&md5::Md5::digest(name.as_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4648, section 4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = (group >> (18 - 6 * i)) & 63;
            out.push(if i <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn check_values_of_the_catalogues() {
        // "123456789": Koopman's and the CRC RevEng catalogue's check values, and NIST's for the SHAs of "abc".
        let sums = Sums::of(&Content::memory(Bytes::from_static(b"123456789")), Algorithm::ALL);
        assert_eq!(sums.get(Algorithm::Crc32), Some(&[0xcb, 0xf4, 0x39, 0x26][..]));
        assert_eq!(sums.get(Algorithm::Crc32c), Some(&[0xe3, 0x06, 0x92, 0x83][..]));
        assert_eq!(sums.get(Algorithm::Crc64Nvme), Some(&0xae8b_1486_0a79_9888_u64.to_be_bytes()[..]));
        assert_eq!(sums.etag(), "25f9e794323b453885f5181f1b624d0b");
        let abc = Sums::of(&Content::memory(Bytes::from_static(b"abc")), Algorithm::ALL);
        assert_eq!(hex(abc.get(Algorithm::Sha1).expect("computed")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(hex(abc.get(Algorithm::Sha256).expect("computed")).starts_with("ba7816bf8f01cfea"));
    }

    #[test]
    fn composite_checksums_count_their_parts() {
        let part: &[u8] = &[0xcb, 0xf4, 0x39, 0x26];
        assert!(composite(Algorithm::Crc32, [part, part]).ends_with("==-2"));
        assert!(multipart_etag([&[0; 16], &[1; 16], &[2; 16]]).ends_with("-3"));
    }

    proptest! {
        #[test]
        fn combined_parts_are_the_whole(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..5)) {
            let whole = Content::memory(parts.concat().into());
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let sums: Vec<_> = parts.iter().map(|p| Sums::of(&Content::memory(Bytes::copy_from_slice(p)), [algorithm])).collect();
                let pairs = sums.iter().zip(&parts).map(|(s, p)| (s.get(algorithm).expect("computed"), p.len() as u64));
                let combined = full_object(algorithm, pairs);
                let whole = Sums::of(&whole, [algorithm]);
                prop_assert_eq!(combined.as_deref(), whole.get(algorithm));
            }
        }
    }
}
