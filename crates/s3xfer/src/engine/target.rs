//! The settings of an object that is written, for the builders of uploads and copies.

/// The methods that set them.
macro_rules! target_settings {
    ($builder:ident) => {
        impl $builder {
            /// Other options for this transfer only. The client's limits still apply to all its transfers together.
            pub fn options(mut self, options: $crate::words::config::TransferOptions) -> Self {
                self.order.shared = self.order.shared.with_options(options);
                self
            }

            /// Writes the object only if no object has this name (`If-None-Match: *`; S3 User Guide, "How to prevent
            /// object overwrites with conditional writes"). Otherwise the error is
            /// [`TransferError::ConditionFailed`](crate::TransferError::ConditionFailed).
            ///
            /// If a request got no answer and an object with the same bytes appears, it counts as written by this
            /// transfer. So a program that uses objects as locks must write unique bytes into them.
            pub fn if_absent(mut self) -> Self {
                self.order.target.condition = $crate::words::target::Condition::Absent;
                self
            }

            /// Writes the object only if the existing object has this ETag (`If-Match`), in quotes, as S3 writes it.
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

            /// Encryption with keys that the server keeps, if it should differ from the bucket's default.
            pub fn encryption(mut self, encryption: $crate::words::target::ServerSideEncryption) -> Self {
                self.order.target.attributes.encryption = Some(encryption);
                self
            }

            /// The customer's key with which the written object is encrypted (SSE-C).
            pub fn sse_customer_key(mut self, key: $crate::words::object::SseCustomerKey) -> Self {
                self.order.target.object.sse_customer_key = Some(key);
                self
            }

            /// The server refuses the requests if the target's bucket does not belong to this account.
            pub fn expected_bucket_owner(mut self, account_id: impl Into<String>) -> Self {
                self.order.target.object.expected_bucket_owner = Some(account_id.into());
                self
            }

            /// Smallest size of every part but the last, in bytes, for servers other than S3 that accept less than 5
            /// MiB.
            #[doc(hidden)]
            pub fn least_part_bytes(mut self, bytes: u64) -> Self {
                self.order.least_part_bytes = bytes.max(1);
                self
            }
        }
    };
}

pub(crate) use target_settings;
