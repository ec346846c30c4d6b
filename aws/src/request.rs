//! Sends the SDK's requests, each on the heap.
//!
//! A request's future in the SDK takes up to 30 KB, and would be a part of the future of whoever awaits it, of the caller's,
//! and so on. Without optimisation each of these also copies it on the stack, until 2 MB, what a thread of tokio's or of a test
//! has, are too little. So nothing in this crate calls the SDK's `send`, but [`Request::reply`].
//!
//! Each line of the table below becomes a function that is not generic. The SDK's code for the request is therefore compiled
//! with this crate, once. An `async fn` is compiled where it is awaited: each program, a user's as well, would do it again.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use std::pin::Pin;

/// A reply that is waited for.
pub(crate) type Reply<T, E> = Pin<Box<dyn Future<Output = Answer<T, E>> + Send>>;

/// What comes of a request.
pub(crate) type Answer<T, E> = Result<T, SdkError<E, HttpResponse>>;

/// A request to AWS that is ready to be sent.
pub(crate) trait Request {
    /// What the service answers.
    type Output;
    /// How it refuses.
    type Error;

    /// Sends the request, and waits for the reply.
    fn reply(self) -> Reply<Self::Output, Self::Error>;
}

macro_rules! requests {
    ($($sdk:ident :: $operation:ident: $builder:ident, $output:ident, $error:ident;)*) => { $(
        impl Request for $sdk::operation::$operation::builders::$builder {
            type Output = $sdk::operation::$operation::$output;
            type Error = $sdk::operation::$operation::$error;

            fn reply(self) -> Reply<Self::Output, Self::Error> {
                Box::pin(self.send())
            }
        }
    )* };
}

/// The same for requests that `customize` has changed.
macro_rules! customized {
    ($($sdk:ident :: $operation:ident: $builder:ident, $output:ident, $error:ident;)*) => { $(
        impl Request
            for $sdk::client::customize::CustomizableOperation<
                $sdk::operation::$operation::$output,
                $sdk::operation::$operation::$error,
                $sdk::operation::$operation::builders::$builder,
            >
        {
            type Output = $sdk::operation::$operation::$output;
            type Error = $sdk::operation::$operation::$error;

            fn reply(self) -> Reply<Self::Output, Self::Error> {
                Box::pin(self.send())
            }
        }
    )* };
}

requests! {
    aws_sdk_s3::abort_multipart_upload:
        AbortMultipartUploadFluentBuilder, AbortMultipartUploadOutput, AbortMultipartUploadError;
    aws_sdk_s3::complete_multipart_upload:
        CompleteMultipartUploadFluentBuilder, CompleteMultipartUploadOutput, CompleteMultipartUploadError;
    aws_sdk_s3::copy_object: CopyObjectFluentBuilder, CopyObjectOutput, CopyObjectError;
    aws_sdk_s3::create_bucket: CreateBucketFluentBuilder, CreateBucketOutput, CreateBucketError;
    aws_sdk_s3::create_multipart_upload:
        CreateMultipartUploadFluentBuilder, CreateMultipartUploadOutput, CreateMultipartUploadError;
    aws_sdk_s3::delete_object: DeleteObjectFluentBuilder, DeleteObjectOutput, DeleteObjectError;
    aws_sdk_s3::delete_objects: DeleteObjectsFluentBuilder, DeleteObjectsOutput, DeleteObjectsError;
    aws_sdk_s3::get_object: GetObjectFluentBuilder, GetObjectOutput, GetObjectError;
    aws_sdk_s3::head_object: HeadObjectFluentBuilder, HeadObjectOutput, HeadObjectError;
    aws_sdk_s3::list_multipart_uploads:
        ListMultipartUploadsFluentBuilder, ListMultipartUploadsOutput, ListMultipartUploadsError;
    aws_sdk_s3::list_objects_v2: ListObjectsV2FluentBuilder, ListObjectsV2Output, ListObjectsV2Error;
    aws_sdk_s3::list_parts: ListPartsFluentBuilder, ListPartsOutput, ListPartsError;
    aws_sdk_dynamodb::batch_get_item: BatchGetItemFluentBuilder, BatchGetItemOutput, BatchGetItemError;
    aws_sdk_dynamodb::batch_write_item: BatchWriteItemFluentBuilder, BatchWriteItemOutput, BatchWriteItemError;
    aws_sdk_dynamodb::create_table: CreateTableFluentBuilder, CreateTableOutput, CreateTableError;
    aws_sdk_dynamodb::describe_table: DescribeTableFluentBuilder, DescribeTableOutput, DescribeTableError;
    aws_sdk_dynamodb::get_item: GetItemFluentBuilder, GetItemOutput, GetItemError;
    aws_sdk_dynamodb::query: QueryFluentBuilder, QueryOutput, QueryError;
    aws_sdk_dynamodb::transact_write_items:
        TransactWriteItemsFluentBuilder, TransactWriteItemsOutput, TransactWriteItemsError;
    aws_sdk_dynamodb::update_item: UpdateItemFluentBuilder, UpdateItemOutput, UpdateItemError;
    aws_sdk_lambda::get_function_configuration:
        GetFunctionConfigurationFluentBuilder, GetFunctionConfigurationOutput, GetFunctionConfigurationError;
    aws_sdk_lambda::invoke: InvokeFluentBuilder, InvokeOutput, InvokeError;
    aws_sdk_lambda::update_function_configuration:
        UpdateFunctionConfigurationFluentBuilder, UpdateFunctionConfigurationOutput, UpdateFunctionConfigurationError;
}

customized! {
    aws_sdk_s3::put_object: PutObjectFluentBuilder, PutObjectOutput, PutObjectError;
    aws_sdk_s3::upload_part: UploadPartFluentBuilder, UploadPartOutput, UploadPartError;
    aws_sdk_lambda::invoke: InvokeFluentBuilder, InvokeOutput, InvokeError;
}

#[cfg(feature = "driver")]
requests! {
    aws_sdk_s3::get_bucket_encryption:
        GetBucketEncryptionFluentBuilder, GetBucketEncryptionOutput, GetBucketEncryptionError;
    aws_sdk_s3::get_bucket_lifecycle_configuration:
        GetBucketLifecycleConfigurationFluentBuilder,
        GetBucketLifecycleConfigurationOutput,
        GetBucketLifecycleConfigurationError;
    aws_sdk_s3::get_bucket_policy: GetBucketPolicyFluentBuilder, GetBucketPolicyOutput, GetBucketPolicyError;
    aws_sdk_s3::get_public_access_block:
        GetPublicAccessBlockFluentBuilder, GetPublicAccessBlockOutput, GetPublicAccessBlockError;
    aws_sdk_dynamodb::delete_item: DeleteItemFluentBuilder, DeleteItemOutput, DeleteItemError;
    aws_sdk_dynamodb::describe_continuous_backups:
        DescribeContinuousBackupsFluentBuilder, DescribeContinuousBackupsOutput, DescribeContinuousBackupsError;
    aws_sdk_dynamodb::describe_time_to_live:
        DescribeTimeToLiveFluentBuilder, DescribeTimeToLiveOutput, DescribeTimeToLiveError;
    aws_sdk_dynamodb::put_item: PutItemFluentBuilder, PutItemOutput, PutItemError;
    aws_sdk_lambda::get_account_settings:
        GetAccountSettingsFluentBuilder, GetAccountSettingsOutput, GetAccountSettingsError;
    aws_sdk_lambda::get_function_event_invoke_config:
        GetFunctionEventInvokeConfigFluentBuilder,
        GetFunctionEventInvokeConfigOutput,
        GetFunctionEventInvokeConfigError;
    aws_sdk_sts::get_caller_identity: GetCallerIdentityFluentBuilder, GetCallerIdentityOutput, GetCallerIdentityError;
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn nothing_else_sends_a_request() {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        let (mut left, mut senders) = (vec![root.clone()], vec![]);
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else if fs::read_to_string(&path).unwrap().contains(concat!(".send", "()")) {
                senders.push(path);
            }
        }
        assert_eq!(senders, [root.join("request.rs")]);
    }
}
