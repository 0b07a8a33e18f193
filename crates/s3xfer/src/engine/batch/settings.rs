//! The settings that the builders of all directions have.

/// The methods for these settings. `$what` is the type's own noun.
macro_rules! settings {
    ($builder:ident) => {
        impl $builder {
            /// The selected names; by default all. Other names are neither transferred nor deleted. A folder that
            /// cannot be listed is an error unless the patterns certainly exclude all names below it.
            pub fn globs(mut self, globs: $crate::words::globs::Globs) -> Self {
                self.settings.globs = globs;
                self
            }

            /// Only lists, compares and checks names; `on_each` and the report give the planned actions.
            pub fn dry_run(mut self, dry_run: bool) -> Self {
                self.settings.dry_run = dry_run;
                self
            }

            /// The policy after a failed object; by default the batch ends.
            pub fn on_failure(mut self, on_failure: $crate::words::batch::OnFailure) -> Self {
                self.settings.on_failure = on_failure;
                self
            }

            /// Largest number of objects in transfer at once; by default
            /// [`max_concurrency`](crate::TransferConfig::max_concurrency), and 64 if that is not set. The client's
            /// limits of requests, memory and bandwidth apply to all of them together. 0 means 1.
            pub fn objects_at_once(mut self, objects: usize) -> Self {
                self.settings.at_once = Some(objects);
                self
            }

            /// Skips objects that the target has already, by this rule. Both sides must be listed in the order of their
            /// keys, which S3's directory buckets do not support.
            pub fn sync(mut self, compare: $crate::words::compare::Compare) -> Self {
                self.settings.sync = Some(compare);
                self
            }

            /// Deletes objects of the target that the source does not have. Names that the globs exclude stay, and so
            /// do names that may be below a part of the source that could not be listed.
            pub fn delete(mut self, delete: bool) -> Self {
                self.settings.delete = delete;
                self
            }

            /// A callback for each object that is done, has failed or is skipped, in the order of these events.
            pub fn on_each(mut self, each: impl FnMut(&$crate::words::batch::BatchItem) + Send + 'static) -> Self {
                self.settings.each = Some(Box::new(each));
                self
            }

            /// Counts into `progress`.
            pub fn progress(mut self, progress: $crate::words::batch_progress::BatchProgress) -> Self {
                self.settings.progress = progress;
                self
            }

            /// Other options for these transfers. The client's limits still apply.
            pub fn options(mut self, options: $crate::words::config::TransferOptions) -> Self {
                self.settings.shared = self.settings.shared.with_options(options);
                self
            }

            /// Says that the requester pays for the requests and the data.
            pub fn request_payer(mut self) -> Self {
                self.settings.request_payer = true;
                self
            }

            /// The server refuses the requests if the bucket does not belong to this account.
            pub fn expected_bucket_owner(mut self, account_id: impl Into<String>) -> Self {
                self.settings.expected_bucket_owner = Some(account_id.into());
                self
            }
        }

        impl std::future::IntoFuture for $builder {
            type Output = Result<$crate::words::batch::BatchReport, $crate::words::batch::BatchError>;
            type IntoFuture = futures::future::BoxFuture<'static, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                futures::FutureExt::boxed(self.run())
            }
        }
    };
}

pub(super) use settings;
