//! The checksum that proves a download: CRC-64/NVME of the object's bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crc_fast::{CrcAlgorithm, Digest};

/// Size and CRC-64/NVME of a file. The checksum is 0 if the size is not the expected size: such a file may have no end.
pub(crate) fn checksum(path: &Path, expected_bytes: u64) -> io::Result<(u64, u64)> {
    // Reading a pipe could block for ever.
    let data = std::fs::metadata(path)?;
    if !data.is_file() {
        return Err(io::Error::other(format!("{} is not a file", path.display())));
    }
    if data.len() != expected_bytes {
        return Ok((data.len(), 0));
    }
    let mut file = File::open(path)?;
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, digest.finalize())),
            Ok(read) => {
                digest.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// CRC-64/NVME of bytes that are computed on demand: `fill(offset, buffer)` writes the bytes from `offset` on.
#[must_use]
pub(crate) fn checksum_of(bytes: u64, fill: impl Fn(u64, &mut [u8])) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < bytes {
        let length = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(buffer.len());
        fill(offset, &mut buffer[..length]);
        digest.update(&buffer[..length]);
        offset += length as u64;
    }
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_the_bytes_it_holds_have_the_same_checksum() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let made = checksum_of(bytes.len() as u64, |offset, buffer| {
            buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
        });
        assert_eq!(checksum(file.path(), bytes.len() as u64).unwrap(), (bytes.len() as u64, made));
        // The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms.
        assert_eq!(checksum_of(9, |_, buffer| buffer.copy_from_slice(b"123456789")), 0xae8b_1486_0a79_9888);
    }
}
