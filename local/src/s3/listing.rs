//! Listing objects, and the operations on buckets themselves.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3Response, S3Result, s3_error};

use super::errors::no_such_bucket;
use super::paging::{After, Entry, PAGE_KEYS_MAX, Page, Query};
use super::service::Service;
use super::{BucketKind, CreateBucketError, read, write};

/// The characters that S3 leaves unencoded under `encoding-type=url`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// What the two versions of the operation share.
struct Listed {
    contents: ObjectList,
    common_prefixes: CommonPrefixList,
    truncated: bool,
}

/// Writes keys in the encoding that the client asked for.
struct Encoding(bool);

impl Encoding {
    fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(other) => Err(s3_error!(InvalidArgument, "the encoding type is \"url\" or none, not {other:?}")),
        }
    }

    fn of_key(&self, key: String) -> String {
        if self.0 { utf8_percent_encode(&key, ENCODED).to_string() } else { key }
    }

    fn of_page(&self, page: Page) -> Listed {
        let object = |Entry { key, bytes, etag, modified }| Object {
            key: Some(self.of_key(key)),
            size: i64::try_from(bytes).ok(),
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(modified.into()),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            ..Default::default()
        };
        Listed {
            truncated: page.next.is_some(),
            contents: page.entries.into_iter().map(object).collect(),
            common_prefixes: page
                .prefixes
                .into_iter()
                .map(|prefix| CommonPrefix { prefix: Some(self.of_key(prefix)) })
                .collect(),
        }
    }
}

impl Service {
    pub(super) async fn list_v2(&self, input: ListObjectsV2Input) -> S3Result<S3Response<ListObjectsV2Output>> {
        let bucket = self.bucket(&input.bucket)?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let mut query = query(input.prefix.clone(), input.delimiter.clone(), input.max_keys)?;
        query.after = input.start_after.clone().map(|key| After { key, rolled_up: false });
        if let Some(token) = &input.continuation_token {
            query.resume(token)?;
        }
        let max_keys = query.keys_max;
        let page = bucket.page(query).await?;
        let next_continuation_token = page.token();
        let listed = encoding.of_page(page);
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.of_key(prefix)),
            delimiter: input.delimiter.map(|delimiter| encoding.of_key(delimiter)),
            start_after: input.start_after.map(|key| encoding.of_key(key)),
            encoding_type: input.encoding_type,
            max_keys: i32::try_from(max_keys).ok(),
            key_count: i32::try_from(listed.contents.len() + listed.common_prefixes.len()).ok(),
            continuation_token: input.continuation_token,
            next_continuation_token,
            is_truncated: Some(listed.truncated),
            contents: Some(listed.contents),
            common_prefixes: Some(listed.common_prefixes),
            ..Default::default()
        }))
    }

    pub(super) async fn list_v1(&self, input: ListObjectsInput) -> S3Result<S3Response<ListObjectsOutput>> {
        let bucket = self.bucket(&input.bucket)?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let mut query = query(input.prefix.clone(), input.delimiter.clone(), input.max_keys)?;
        // A marker that ends in the delimiter is the common prefix at the end of the previous page.
        query.after = input.marker.clone().filter(|marker| !marker.is_empty()).map(|key| After {
            rolled_up: query.delimiter.as_deref().is_some_and(|end| !end.is_empty() && key.ends_with(end)),
            key,
        });
        let max_keys = query.keys_max;
        let page = bucket.page(query).await?;
        let next_marker = page.next.as_ref().map(|next| encoding.of_key(next.key.clone()));
        let listed = encoding.of_page(page);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: input.prefix.map(|prefix| encoding.of_key(prefix)),
            delimiter: input.delimiter.map(|delimiter| encoding.of_key(delimiter)),
            marker: input.marker.map(|marker| encoding.of_key(marker)),
            encoding_type: input.encoding_type,
            max_keys: i32::try_from(max_keys).ok(),
            next_marker,
            is_truncated: Some(listed.truncated),
            contents: Some(listed.contents),
            common_prefixes: Some(listed.common_prefixes),
            ..Default::default()
        }))
    }

    pub(super) fn create(&self, input: &CreateBucketInput) -> S3Result<S3Response<CreateBucketOutput>> {
        self.store.create_bucket(&input.bucket, BucketKind::Blobs).map_err(|err| match err {
            CreateBucketError::InvalidName(_) => s3_error!(InvalidBucketName, "{err}"),
            CreateBucketError::Exists(_) => s3_error!(BucketAlreadyOwnedByYou, "{err}"),
        })?;
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
    }

    pub(super) fn remove(&self, input: &DeleteBucketInput) -> S3Result<S3Response<DeleteBucketOutput>> {
        let mut buckets = write(&self.store.buckets);
        let bucket = buckets.get(&input.bucket).ok_or_else(|| no_such_bucket(&input.bucket))?;
        bucket.check_removable()?;
        buckets.remove(&input.bucket);
        Ok(S3Response::new(DeleteBucketOutput {}))
    }

    pub(super) fn list_all(&self) -> S3Response<ListBucketsOutput> {
        let buckets = read(&self.store.buckets)
            .iter()
            .map(|(name, bucket)| Bucket {
                name: Some(name.clone()),
                creation_date: Some(bucket.created.into()),
                bucket_region: None,
            })
            .collect();
        S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..Default::default() })
    }
}

fn query(prefix: Option<String>, delimiter: Option<String>, max_keys: Option<i32>) -> S3Result<Query> {
    let keys_max = match max_keys {
        None => PAGE_KEYS_MAX,
        Some(asked) => usize::try_from(asked)
            .map_err(|_| s3_error!(InvalidArgument, "max-keys is from 0 on, not {asked}"))?
            .min(PAGE_KEYS_MAX),
    };
    Ok(Query { prefix: prefix.unwrap_or_default(), delimiter, keys_max, ..Query::default() })
}
