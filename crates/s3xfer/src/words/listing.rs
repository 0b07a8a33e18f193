//! [`ListedObject`]: an object in a listing.

use std::time::SystemTime;

/// An object in a listing. By the time it is requested, it may be replaced or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedObject {
    /// The whole key.
    pub key: String,
    /// Size.
    pub bytes: u64,
    /// ETag as S3 writes it, in quotes.
    pub e_tag: Option<String>,
    /// `LastModified`; `None` if the server does not give it, or gives a time that this system cannot represent.
    pub last_modified: Option<SystemTime>,
}

/// The objects that a listing covers, and the headers of every request for it.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) request_payer: bool,
    pub(crate) expected_bucket_owner: Option<String>,
}

/// The beginning of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PageAt {
    Start,
    /// As the answer before says.
    Token(String),
    /// Behind that text, be it a key or not.
    After(String),
}

/// One answer of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) objects: Vec<ListedObject>,
    /// To be given with the next request; `None` at the end.
    pub(crate) next: Option<String>,
}

/// An object that the server did not delete.
#[derive(Debug)]
pub(crate) struct NotDeleted {
    pub(crate) key: String,
    pub(crate) code: String,
    pub(crate) message: String,
}
