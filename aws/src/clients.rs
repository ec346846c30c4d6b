//! One set of SDK clients, configured as in every AWS tool: from the environment, profiles, and instance roles.

use crate::clock::{Clock, ClockInterceptor};
use crate::meter::{Meter, MeterInterceptor};
use crate::pace::{Pace, PaceInterceptor};
use crate::second::SecondReads;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::retry::{RetryPartition, TokenBucket};
use aws_smithy_http_client::tls;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::service_config::ServiceConfigKey;
use kinglet_core::limits::{REPLY_MS_MAX, S3_REPLY_MS_MAX, UPLOAD_BYTES_PER_S_MIN};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The clients of S3, DynamoDB and Lambda, and the meter that counts their requests.
#[derive(Clone)]
pub struct Clients {
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// The totals of their requests.
    pub meter: Arc<Meter>,
    /// The services' time, from their replies.
    pub clock: Clock,
    /// How many reads of S3 are sent at once.
    pub(crate) pace: Pace,
    /// When a slow read of S3 is sent once more.
    pub(crate) second_reads: SecondReads,
    /// The URL of DynamoDB, if it is not AWS's.
    pub(crate) dynamodb_url: Option<String>,
    /// What all of them are configured by, for calls to other services.
    pub(crate) config: SdkConfig,
}

/// The servers to use in place of AWS, and the credentials for them. The embedded runtime hands one of these out.
#[derive(Clone)]
pub struct Endpoints {
    /// The URL of S3.
    pub s3: String,
    /// The URL of DynamoDB.
    pub dynamodb: String,
    /// The URL of Lambda.
    pub lambda: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The access key id and the secret.
    pub keys: (String, String),
}

/// What carries a machine's requests in a simulation, and what the machine takes for the time when it signs them.
pub struct Wire {
    /// Sends requests and returns the replies.
    pub http: aws_sdk_s3::config::SharedHttpClient,
    /// The machine's wall clock.
    pub time: aws_types::sdk_config::SharedTimeSource,
}

/// Without the secret, as what is printed is often kept.
impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoints { s3, dynamodb, lambda, region, keys: (access_key, _) } = self;
        let mut shown = f.debug_struct("Endpoints");
        shown.field("s3", s3).field("dynamodb", dynamodb).field("lambda", lambda).field("region", region);
        shown.field("access_key", access_key).finish_non_exhaustive()
    }
}

/// How often the SDK tries a request. Throttling is normal at the start of a large job.
const ATTEMPTS: u32 = 8;

/// How long S3 may take to answer a read, or to send the next bytes, before it is asked once more: five times what 99 of 100
/// answers need (`docs/reference/aws-model.md`).
const SECOND_READ_AFTER: Duration = Duration::from_secs(1);

/// Returns the budget of the SDK's retries: unlimited. By default all clients of a process share 500 tokens, of which each
/// retry takes 5 and few come back: after a hundred throttled requests the next one fails at its first refusal, whatever
/// [`ATTEMPTS`] says. Without a shared budget, retries stay bounded all the same: a task sends a bounded number of requests,
/// a few at once, each a bounded number of times with growing pauses.
fn own_budget() -> RetryPartition {
    RetryPartition::custom("kinglet").token_bucket(TokenBucket::unlimited()).build()
}

/// The prefix of the environment variables that name servers other than AWS.
const ENDPOINT_VARIABLES: &str = "AWS_ENDPOINT_URL";

/// Returns whether no request uses TLS. The system's root certificates are then not read, which would take longer than a
/// whole small job.
pub(crate) fn all_plain() -> bool {
    let given: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with(ENDPOINT_VARIABLES)).collect();
    let names = |name: &str| given.iter().any(|(given, _)| given == name);
    let all = names("AWS_ENDPOINT_URL")
        || ["S3", "DYNAMODB", "LAMBDA"].iter().all(|service| names(&format!("{ENDPOINT_VARIABLES}_{service}")));
    all && given.iter().all(|(_, url)| url.starts_with("http://"))
}

impl Clients {
    /// Returns clients configured by the environment: credentials, region, profiles and endpoints as in every AWS tool.
    pub async fn from_env() -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client(all_plain()))
            .retry_config(retries())
            .load()
            .await;
        Self::of(&config)
    }

    /// Returns clients of a configuration loaded from the environment.
    pub(crate) fn of(config: &SdkConfig) -> Self {
        // Servers that are not AWS expect the bucket in the path, not in the host name.
        let path_style = endpoint(config, "S3").is_some();
        let clients = Self::new(config, path_style, [None, None, None], Clock::default());
        let clients = if path_style { clients } else { clients.with_second_reads(SECOND_READ_AFTER) };
        Clients { dynamodb_url: endpoint(config, "DynamoDB"), ..clients }
    }

    /// Returns clients of other servers, such as the embedded runtime's.
    pub fn at(endpoints: &Endpoints) -> Self {
        Self::on_machine(endpoints, Clock::default())
    }

    /// Returns clients of other servers for a machine with this clock.
    pub fn on_machine(endpoints: &Endpoints, clock: Clock) -> Self {
        let plain =
            [&endpoints.s3, &endpoints.dynamodb, &endpoints.lambda].iter().all(|url| url.starts_with("http://"));
        Self::with(endpoints, clock, SdkConfig::builder().http_client(http_client(plain)))
    }

    /// Returns clients whose requests go over this wire, and not over sockets.
    pub fn over(endpoints: &Endpoints, clock: Clock, wire: Wire) -> Self {
        Self::with(endpoints, clock, SdkConfig::builder().http_client(wire.http).time_source(wire.time))
            .with_second_reads(SECOND_READ_AFTER)
    }

    /// Returns the same, which send a read of S3 once more when it is not answered for so long. Those of AWS do; of a server
    /// on this machine, a slow reply says that the machine is busy.
    #[must_use]
    pub fn with_second_reads(self, after: Duration) -> Self {
        Clients { second_reads: SecondReads::after(after), ..self }
    }

    fn with(endpoints: &Endpoints, clock: Clock, config: aws_types::sdk_config::Builder) -> Self {
        let (id, secret) = &endpoints.keys;
        let keys = aws_sdk_s3::config::Credentials::new(id, secret, None, None, "kinglet");
        let config = config
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(endpoints.region.clone()))
            .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(keys))
            .retry_config(retries())
            .sleep_impl(aws_sdk_s3::config::SharedAsyncSleep::new(Sleep))
            .build();
        let urls = [&endpoints.s3, &endpoints.dynamodb, &endpoints.lambda].map(|url| Some(url.clone()));
        Self::new(&config, true, urls, clock)
    }

    fn new(config: &SdkConfig, path_style: bool, urls: [Option<String>; 3], clock: Clock) -> Self {
        let meter = Arc::new(Meter::default());
        let interceptor = MeterInterceptor::new(meter.clone());
        let time = ClockInterceptor::new(clock.clone());
        let [s3_url, dynamodb_url, lambda_url] = urls;
        let mut s3 =
            aws_sdk_s3::config::Builder::from(config).force_path_style(path_style).interceptor(interceptor.clone());
        let pace = Pace::default();
        s3 = s3
            .interceptor(time.clone())
            .interceptor(PaceInterceptor(pace.clone()))
            .retry_partition(own_budget())
            .timeout_config(patience(config, S3_REPLY_MS_MAX));
        if s3_url.is_some() {
            s3.set_endpoint_url(s3_url);
        }
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(config).interceptor(interceptor.clone());
        dynamodb = dynamodb
            .interceptor(time.clone())
            .retry_partition(own_budget())
            .timeout_config(patience(config, REPLY_MS_MAX));
        if dynamodb_url.is_some() {
            dynamodb.set_endpoint_url(dynamodb_url.clone());
        }
        let mut lambda = aws_sdk_lambda::config::Builder::from(config).interceptor(interceptor);
        lambda = lambda.interceptor(time).retry_partition(own_budget()).timeout_config(patience(config, REPLY_MS_MAX));
        if lambda_url.is_some() {
            lambda.set_endpoint_url(lambda_url);
        }
        Clients {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            lambda: aws_sdk_lambda::Client::from_conf(lambda.build()),
            meter,
            clock,
            pace,
            second_reads: SecondReads::never(),
            dynamodb_url,
            config: config.clone(),
        }
    }
}

/// Returns the URL of a service, if the environment or the profile names a server that is not AWS.
pub(crate) fn endpoint(config: &aws_config::SdkConfig, service: &'static str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service).env(ENDPOINT_VARIABLES).profile("endpoint_url").build();
    let named = config.service_config().and_then(|all| all.load_config(key.ok()?));
    named.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Returns the time limits of requests, each try of which is given up after so many milliseconds. By default the SDK waits for a
/// reply without end, and whoever has the turn of a job keeps it meanwhile.
pub(crate) fn patience(config: &SdkConfig, ms: u64) -> TimeoutConfig {
    let given = config.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
    given.operation_attempt_timeout(Duration::from_millis(ms)).build()
}

/// Returns what changes in the settings of S3 for a request with a body of so many bytes: a long one may take longer.
pub(crate) fn patience_for(bytes: usize) -> aws_sdk_s3::config::Builder {
    let ms = (bytes as u64 * 1_000 / UPLOAD_BYTES_PER_S_MIN).max(S3_REPLY_MS_MAX);
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(ms)).build();
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts)
}

/// Returns the SDK's retries: as many attempts as `AWS_MAX_ATTEMPTS` says, or [`ATTEMPTS`].
pub(crate) fn retries() -> RetryConfig {
    let asked = std::env::var("AWS_MAX_ATTEMPTS").ok().and_then(|text| text.parse().ok()).filter(|n| *n > 0);
    RetryConfig::standard().with_max_attempts(asked.unwrap_or(ATTEMPTS))
}

pub(crate) fn http_client(plain: bool) -> aws_sdk_s3::config::SharedHttpClient {
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
