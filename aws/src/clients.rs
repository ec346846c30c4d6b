//! One set of SDK clients, made the way every AWS tool makes them: from the environment, profiles, and instance roles.

use crate::meter::{Meter, MeterInterceptor};
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_smithy_http_client::tls;
use std::sync::Arc;

/// The three clients, and what counts their requests.
#[derive(Clone)]
pub struct Clients {
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// What they sent.
    pub meter: Arc<Meter>,
}

/// Where the services are, when that is not AWS, and who asks. The embedded runtime hands one of these out.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The URL of S3.
    pub s3: String,
    /// The URL of DynamoDB.
    pub dynamodb: String,
    /// The URL of Lambda.
    pub lambda: String,
    /// The region in signatures.
    pub region: String,
    /// Access key id and secret.
    pub keys: (String, String),
}

/// How often the SDK tries one request. Throttling is normal at the start of a large job.
const ATTEMPTS: u32 = 8;

impl Clients {
    /// Clients of the environment: credentials, region, profiles and endpoints as in every AWS tool.
    pub async fn from_env() -> Self {
        // Reading the system's root certificates takes longer than a whole small job: not when no endpoint needs them.
        let plain = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_LAMBDA"]
            .map(std::env::var)
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        let all_plain = !plain.is_empty() && plain.iter().all(|url| url.starts_with("http://"));
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client(all_plain))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .load()
            .await;
        // Servers that are not AWS want the bucket in the path, not in the host name.
        let path_style = !plain.is_empty();
        Self::new(&config, path_style, [None, None, None])
    }

    /// Clients of servers elsewhere, as the embedded runtime's.
    pub fn at(endpoints: &Endpoints) -> Self {
        let (id, secret) = &endpoints.keys;
        let keys = aws_sdk_s3::config::Credentials::new(id, secret, None, None, "kinglet");
        let plain =
            [&endpoints.s3, &endpoints.dynamodb, &endpoints.lambda].iter().all(|url| url.starts_with("http://"));
        let config = aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(endpoints.region.clone()))
            .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(keys))
            .http_client(http_client(plain))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .sleep_impl(aws_sdk_s3::config::SharedAsyncSleep::new(Sleep))
            .build();
        let urls = [&endpoints.s3, &endpoints.dynamodb, &endpoints.lambda].map(|url| Some(url.clone()));
        Self::new(&config, true, urls)
    }

    fn new(config: &aws_config::SdkConfig, path_style: bool, urls: [Option<String>; 3]) -> Self {
        let meter = Arc::new(Meter::default());
        let interceptor = MeterInterceptor::new(meter.clone());
        let [s3_url, dynamodb_url, lambda_url] = urls;
        let mut s3 =
            aws_sdk_s3::config::Builder::from(config).force_path_style(path_style).interceptor(interceptor.clone());
        if s3_url.is_some() {
            s3.set_endpoint_url(s3_url);
        }
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(config).interceptor(interceptor.clone());
        if dynamodb_url.is_some() {
            dynamodb.set_endpoint_url(dynamodb_url);
        }
        let mut lambda = aws_sdk_lambda::config::Builder::from(config).interceptor(interceptor);
        if lambda_url.is_some() {
            lambda.set_endpoint_url(lambda_url);
        }
        Clients {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            lambda: aws_sdk_lambda::Client::from_conf(lambda.build()),
            meter,
        }
    }
}

fn http_client(plain: bool) -> aws_sdk_s3::config::SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new();
    if plain {
        builder.build_http()
    } else {
        builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
    }
}

/// Tokio's clock for the SDK's pauses between attempts.
#[derive(Debug)]
struct Sleep;

impl aws_sdk_s3::config::AsyncSleep for Sleep {
    fn sleep(&self, duration: std::time::Duration) -> aws_sdk_s3::config::Sleep {
        aws_sdk_s3::config::Sleep::new(tokio::time::sleep(duration))
    }
}
