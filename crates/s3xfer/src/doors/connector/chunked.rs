//! The chunked transfer coding, taken apart byte by byte (RFC 9112, 7.1).
//!
//! Strict: anything that two readers could understand differently is an error. Extensions and trailers are skipped,
//! because nothing here uses them. Pure; the bytes come from the caller, in pieces of any size.

/// Extensions and trailers together; S3 sends neither.
const SKIPPED_LIMIT: usize = 16 << 10;

/// The place of the next byte in the coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In a chunk's size, with the number of its digits that have been read.
    Size {
        digits: u8,
    },
    /// After the size, before the end of its line.
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line after the last chunk.
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

/// A decoder for one body.
#[derive(Debug)]
pub(super) struct Chunked {
    at: At,
    /// The chunk's size while it is read, then the rest of the chunk.
    left: u64,
    skipped: usize,
}

/// The result of a call to [`Chunked::decode`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) read: usize,
    pub(super) written: usize,
}

/// Why a body is not in the chunked coding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkError {
    /// A byte that is not allowed at its place.
    #[error("byte {byte:#04x} where {expected} belongs in a chunked body")]
    Unexpected {
        /// The byte.
        byte: u8,
        /// The text that should have been there.
        expected: &'static str,
    },
    /// A size of more than 64 bits.
    #[error("a chunk's size has more than 16 digits")]
    SizeTooLarge,
    /// More than any sensible server sends.
    #[error("more than {SKIPPED_LIMIT} bytes of extensions and trailers in a chunked body")]
    TooMuchBesides,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { at: At::Size { digits: 0 }, left: 0, skipped: 0 }
    }

    /// Whether the last byte of the coding has been read. Later bytes belong to something else.
    pub(super) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Reads `coded` until it is used up, `plain` is full or the body is at its end.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]; nothing more can be decoded then.
    pub(super) fn decode(&mut self, coded: &[u8], plain: &mut [u8]) -> Result<Decoded, ChunkError> {
        let (mut read, mut written) = (0, 0);
        while read < coded.len() && self.at != At::Done {
            if self.at == At::Data {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let taken = left.min(coded.len() - read).min(plain.len() - written);
                if taken == 0 {
                    break;
                }
                plain[written..written + taken].copy_from_slice(&coded[read..read + taken]);
                (read, written) = (read + taken, written + taken);
                self.left -= taken as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.step(coded[read])?;
                read += 1;
            }
        }
        Ok(Decoded { read, written })
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.at = match (self.at, byte) {
            (At::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == 16 {
                    return Err(ChunkError::SizeTooLarge);
                }
                let digit = char::from(byte).to_digit(16).expect("the pattern takes hexadecimal digits only");
                self.left = self.left << 4 | u64::from(digit);
                At::Size { digits: digits + 1 }
            }
            (At::Size { digits: 1.. }, b'\r') | (At::Extension, b'\r') => At::SizeLf,
            (At::Size { digits: 1.. }, b';' | b' ' | b'\t') => At::Extension,
            (At::Size { .. }, _) => return Err(unexpected(byte, "a chunk's size")),
            // A bare line feed ends a line for some readers and not for others.
            (At::Extension, b'\n') => return Err(unexpected(byte, "a chunk's extension")),
            (At::Extension, _) => self.skip(At::Extension)?,
            (At::SizeLf, b'\n') if self.left == 0 => At::TrailerStart,
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataCr, _) => return Err(unexpected(byte, "the end of a chunk")),
            (At::DataLf, b'\n') => {
                self.left = 0;
                At::Size { digits: 0 }
            }
            (At::TrailerStart, b'\r') => At::LastLf,
            (At::TrailerStart | At::Trailer, b'\n') => return Err(unexpected(byte, "a trailer")),
            (At::TrailerStart, _) => self.skip(At::Trailer)?,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::Trailer, _) => self.skip(At::Trailer)?,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            (At::LastLf, b'\n') => At::Done,
            (At::SizeLf | At::DataLf | At::TrailerLf | At::LastLf, _) => return Err(unexpected(byte, "a line feed")),
            (At::Data | At::Done, _) => unreachable!("decode takes these bytes itself"),
        };
        Ok(())
    }

    fn skip(&mut self, at: At) -> Result<At, ChunkError> {
        self.skipped += 1;
        if self.skipped > SKIPPED_LIMIT { Err(ChunkError::TooMuchBesides) } else { Ok(at) }
    }
}

fn unexpected(byte: u8, expected: &'static str) -> ChunkError {
    ChunkError::Unexpected { byte, expected }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes `coded`, given in pieces of `piece` bytes, through a buffer of `room` bytes; also returns the rest.
    fn decode(coded: &[u8], piece: usize, room: usize) -> Result<(Vec<u8>, bool, usize), ChunkError> {
        let (mut chunked, mut body, mut plain) = (Chunked::new(), Vec::new(), vec![0; room]);
        let mut at = 0;
        while at < coded.len() && !chunked.is_done() {
            let decoded = chunked.decode(&coded[at..coded.len().min(at + piece)], &mut plain)?;
            assert!(decoded.read > 0, "it goes on");
            body.extend_from_slice(&plain[..decoded.written]);
            at += decoded.read;
        }
        Ok((body, chunked.is_done(), coded.len() - at))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read_to_the_end_and_no_further() {
        let coded =
            b"5;name=\"value\"\r\nhello\r\n00B \r\n, world of \r\n1\r\ns\r\n0\r\nx-amz: 1\r\ny: 2\r\n\r\nHTTP/1.1";
        assert_eq!(decode(coded, 100, 100), Ok((b"hello, world of s".to_vec(), true, 8)));
        assert_eq!(decode(coded, 1, 1), Ok((b"hello, world of s".to_vec(), true, 8)));
    }

    #[test]
    fn what_could_be_understood_differently_is_an_error() {
        let wrong: [&[u8]; 13] = [
            b"\r\n",
            b"g\r\n",
            b"-1\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5;a\nhello\r\n",
            b"5\r\nhello world\r\n",
            b"5\r\nhello\n0\r\n",
            b"5\r\nhello\r\r",
            b"0\r\n\n",
            b"0\r\na: b\n\r\n",
        ];
        for coded in wrong {
            assert!(decode(coded, 100, 100).is_err(), "{}", String::from_utf8_lossy(coded));
        }
        assert_eq!(decode(b"11111111111111111\r\n", 100, 100), Err(ChunkError::SizeTooLarge));
        let endless = [b"1;".as_slice(), &[b'x'; SKIPPED_LIMIT + 1]].concat();
        assert_eq!(decode(&endless, 1000, 100), Err(ChunkError::TooMuchBesides));
    }

    #[test]
    fn a_body_that_stops_is_not_done() {
        for coded in [&b"5\r\nhel"[..], b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"5\r\nhello\r\n0\r\n\r"] {
            assert!(!decode(coded, 100, 100).unwrap().1);
        }
    }

    proptest! {
        #[test]
        fn any_chunks_in_any_pieces_give_the_same_body(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..10),
            piece in 1_usize..60,
            room in 1_usize..60,
        ) {
            let mut coded: Vec<u8> = Vec::new();
            for chunk in &chunks {
                coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                coded.extend_from_slice(chunk);
                coded.extend_from_slice(b"\r\n");
            }
            coded.extend_from_slice(b"0\r\n\r\nmore");
            prop_assert_eq!(decode(&coded, piece, room), Ok((chunks.concat(), true, 4)));
        }

        #[test]
        fn no_input_makes_it_panic(coded in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..20) {
            let _ = decode(&coded, piece, 16);
        }
    }
}
