//! The lab's counts: a snapshot of its counters, and the record of one request.

use std::collections::BTreeMap;

/// A request's kind, as told from its method, path and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RequestKind {
    /// GET of an object or of a range of it.
    GetObject,
    /// HEAD of an object.
    HeadObject,
    /// PUT of a whole object.
    PutObject,
    /// PUT with `x-amz-copy-source`, of a whole object.
    CopyObject,
    /// DELETE of an object.
    DeleteObject,
    /// POST that starts a multipart upload.
    CreateMultipartUpload,
    /// PUT of one part.
    UploadPart,
    /// PUT of one part with `x-amz-copy-source`.
    UploadPartCopy,
    /// POST that completes a multipart upload.
    CompleteMultipartUpload,
    /// DELETE of a multipart upload.
    AbortMultipartUpload,
    /// GET of a bucket's keys, in either version.
    ListObjects,
    /// All other operations of S3: buckets, parts, uploads, bulk deletes.
    Other,
}

impl RequestKind {
    /// Every kind with its name in a fault plan.
    pub(crate) const NAMED: [(&'static str, Self); 12] = [
        ("get-object", Self::GetObject),
        ("head-object", Self::HeadObject),
        ("put-object", Self::PutObject),
        ("copy-object", Self::CopyObject),
        ("delete-object", Self::DeleteObject),
        ("create-multipart-upload", Self::CreateMultipartUpload),
        ("upload-part", Self::UploadPart),
        ("upload-part-copy", Self::UploadPartCopy),
        ("complete-multipart-upload", Self::CompleteMultipartUpload),
        ("abort-multipart-upload", Self::AbortMultipartUpload),
        ("list-objects", Self::ListObjects),
        ("other", Self::Other),
    ];

    /// Its name in a fault plan.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, kind)| *kind == self).map_or("other", |(name, _)| name)
    }

    /// Tells the kind from the method, whether the path names a key, the raw query, and whether a copy source is named.
    pub(crate) fn classify(method: &str, has_key: bool, query: &str, copies: bool) -> Self {
        let names = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let upload = names("uploadId");
        match (method, has_key) {
            ("GET", true) if !upload && !names("acl") && !names("tagging") && !names("attributes") => Self::GetObject,
            ("HEAD", true) => Self::HeadObject,
            ("PUT", true) if upload && copies => Self::UploadPartCopy,
            ("PUT", true) if upload => Self::UploadPart,
            ("PUT", true) if copies => Self::CopyObject,
            ("PUT", true) => Self::PutObject,
            ("DELETE", true) if upload => Self::AbortMultipartUpload,
            ("DELETE", true) => Self::DeleteObject,
            ("POST", true) if names("uploads") => Self::CreateMultipartUpload,
            ("POST", true) if upload => Self::CompleteMultipartUpload,
            ("GET", false) if !names("uploads") && !names("location") => Self::ListObjects,
            _ => Self::Other,
        }
    }
}

/// The lab's counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that arrived, by kind.
    pub requests: BTreeMap<RequestKind, u64>,
    /// Response body bytes handed to connections.
    pub bytes_out: u64,
    /// Request body bytes taken from connections.
    pub bytes_in: u64,
    /// Connections opened so far.
    pub connections_opened: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Requests in progress now: arrived, and their response not yet handed over or given up.
    pub in_flight: u64,
    /// The most requests that were in progress at once.
    pub max_in_flight: u64,
    /// Answers with status 503, whether planned faults or the profile's request rate caused them.
    pub slow_downs: u64,
    /// Planned faults that took effect.
    pub faults: u64,
}

impl Stats {
    /// Requests of one kind.
    #[must_use]
    pub fn count(&self, kind: RequestKind) -> u64 {
        self.requests.get(&kind).copied().unwrap_or(0)
    }

    /// Requests of every kind.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// One request the lab saw. Holds no header but `Range`, and no query, so no credential or signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Arrival number, counted from 0 over the lab's life.
    pub ordinal: u64,
    /// The connection it came on, counted from 0.
    pub connection: u64,
    /// Its kind.
    pub kind: RequestKind,
    /// Its HTTP method.
    pub method: String,
    /// The bucket it names; empty where it names none.
    pub bucket: String,
    /// The key it names, percent-decoded; empty where it names none.
    pub key: String,
    /// Its `Range` header, as sent.
    pub range: Option<String>,
    /// The answer's status; `None` while there is none, or when the client went away before.
    pub status: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        use RequestKind::*;
        for (method, key, query, copies, kind) in [
            ("GET", true, "", false, GetObject),
            ("GET", true, "partNumber=1", false, GetObject),
            ("GET", true, "uploadId=x", false, Other),
            ("GET", true, "response-content-type=text%2Fplain&X-Amz-Signature=0", false, GetObject),
            ("HEAD", true, "", false, HeadObject),
            ("HEAD", false, "", false, Other),
            ("PUT", true, "x-id=PutObject", false, PutObject),
            ("PUT", true, "", true, CopyObject),
            ("PUT", true, "partNumber=1&uploadId=a", false, UploadPart),
            ("PUT", true, "partNumber=1&uploadId=a", true, UploadPartCopy),
            ("POST", true, "uploads", false, CreateMultipartUpload),
            ("POST", true, "uploads=", false, CreateMultipartUpload),
            ("POST", true, "uploadId=a", false, CompleteMultipartUpload),
            ("POST", false, "delete", false, Other),
            ("DELETE", true, "uploadId=a", false, AbortMultipartUpload),
            ("DELETE", true, "", false, DeleteObject),
            ("GET", false, "list-type=2", false, ListObjects),
            ("GET", false, "uploads", false, Other),
        ] {
            assert_eq!(RequestKind::classify(method, key, query, copies), kind, "{method} {query}");
        }
    }
}
