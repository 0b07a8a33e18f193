//! `Token`: the secret that lets clients and agents take part in a study.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sha2::{Digest, Sha256};

/// A token is at least so long.
const SHORTEST_TOKEN: usize = 16;

/// The token that lets clients take part. Its text is in no log and no error.
#[derive(Clone)]
pub struct Token(String);

/// A token is too short or holds a character that a line cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token must be one line of at least {SHORTEST_TOKEN} characters; write a longer one into its file")]
pub struct TokenError;

impl Token {
    /// The token in a text; white space around it does not count.
    ///
    /// # Errors
    /// It is shorter than 16 characters, or has several lines.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let fits = text.chars().count() >= SHORTEST_TOKEN && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(TokenError) }
    }

    /// The token in a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::new(&std::fs::read_to_string(path)?).map_err(io::Error::other)
    }

    /// The token in a file, which is made, readable by its owner alone, where there is none.
    ///
    /// # Errors
    /// As [`Token::read`], or the file cannot be made.
    pub fn read_or_make(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            let mut random = [0; 24];
            std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random))?;
            let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(format!("{text}\n").as_bytes())?;
        }
        Self::read(path)
    }

    /// Its text, to be sent.
    #[cfg(feature = "cli")]
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Compared by digests, whose time says nothing about the text.
    pub(super) fn is(&self, given: &str) -> bool {
        Sha256::digest(&self.0) == Sha256::digest(given)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}
