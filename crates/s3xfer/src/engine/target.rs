//! The settings of an object that is written, for the builders of uploads and copies.

/// The methods that set them.
macro_rules! target_settings {
    ($builder:ident) => {
        impl $builder {
            /// Other options for this transfer alone. The client's limits hold for it as for the others, together with
            /// them.
            pub fn options(mut self, options: $crate::words::config::TransferOptions) -> Self {
                self.order.shared = self.order.shared.with_options(options);
                self
            }

            /// Writes the object only if there is none of that name (`If-None-Match: *`; S3 User Guide, "How to prevent
            /// object overwrites with conditional writes"). Otherwise the error is
            /// [`TransferError::ConditionFailed`](crate::TransferError::ConditionFailed).
            ///
            /// An object with the same bytes that appeared while a request went unanswered is taken for this transfer's
            /// own. A program that uses objects as locks has to write something into them that no other one writes.
            pub fn if_absent(mut self) -> Self {
                self.order.target.condition = $crate::words::target::Condition::Absent;
                self
            }

            /// Writes the object only if the one that is there has this ETag (`If-Match`), as S3 writes it, in quotes.
            /// Otherwise the error is [`TransferError::ConditionFailed`](crate::TransferError::ConditionFailed).
            pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
                self.order.target.condition = $crate::words::target::Condition::IsVersion(e_tag.into());
                self
            }

            /// Storage class as S3 names it: `STANDARD_IA`, `INTELLIGENT_TIERING`, `GLACIER_IR`, ...; without it S3
            /// writes STANDARD.
            pub fn storage_class(mut self, storage_class: impl Into<String>) -> Self {
                self.order.target.attributes.storage_class = Some(storage_class.into());
                self
            }

            /// Canned ACL as S3 names it: `private`, `bucket-owner-full-control`, ...
            pub fn acl(mut self, acl: impl Into<String>) -> Self {
                self.order.target.attributes.acl = Some(acl.into());
                self
            }

            /// Encryption with keys that the server keeps, where it is to be other than the bucket's default.
            pub fn encryption(mut self, encryption: $crate::words::target::ServerSideEncryption) -> Self {
                self.order.target.attributes.encryption = Some(encryption);
                self
            }

            /// The key that the written object is encrypted with, of its owner's own (SSE-C).
            pub fn sse_customer_key(mut self, key: $crate::words::object::SseCustomerKey) -> Self {
                self.order.target.object.sse_customer_key = Some(key);
                self
            }

            /// Has the server refuse the requests if the bucket that is written to belongs to another account than this
            /// one.
            pub fn expected_bucket_owner(mut self, account_id: impl Into<String>) -> Self {
                self.order.target.object.expected_bucket_owner = Some(account_id.into());
                self
            }

            /// Least bytes of a part but the last, where the server is not S3 and takes less than 5 MiB.
            #[doc(hidden)]
            pub fn least_part_bytes(mut self, bytes: u64) -> Self {
                self.order.least_part_bytes = bytes.max(1);
                self
            }
        }
    };
}

pub(crate) use target_settings;
