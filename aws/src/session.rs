//! A person's session with an AWS account: clients configured as in every AWS tool, from options, the environment, profiles,
//! SSO, credential processes and instance roles.

use crate::clients::{self, Clients};
use crate::clock::ClockInterceptor;
use crate::errors::{Doing, causes};
use crate::one_call::Caller;
use crate::one_call::events::{FILTER_LOG_EVENTS, Page};
use crate::one_call::stacks::{DESCRIBE_STACKS, Description};
use crate::request::Request;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_types::os_shim_internal::{Env, Fs};
use kinglet_core::limits::REPLY_MS_MAX;
use kinglet_core::{Code, Error, Result};

/// The environment variable that names a profile.
const PROFILE: &str = "AWS_PROFILE";

/// How often a request is sent with which a session begins. Whoever waits for it should hear within seconds that the endpoint
/// cannot be reached: what is tried as often as all else takes half a minute.
const FIRST_ATTEMPTS: u32 = 3;

/// How many functions of an account can run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Those without reserved concurrency, together.
    pub unreserved: u32,
    /// All together.
    pub all: u32,
}

/// The clients of an account in one region.
#[derive(Clone)]
pub struct Session {
    /// S3, DynamoDB and Lambda.
    pub clients: Clients,
    /// The region.
    pub region: String,
    pub(crate) describe_stacks: Caller<Vec<Description>>,
    pub(crate) filter_log_events: Caller<Page>,
    sts: aws_sdk_sts::Client,
    profile: Option<String>,
}

/// The identity behind the credentials, as AWS sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's id.
    pub account: String,
    /// The ARN of the user or the assumed role.
    pub arn: String,
}

impl Session {
    /// Loads the configuration. The arguments take precedence over the environment and the profile: credentials in the
    /// environment count only where no profile is given. Sends no request, unless the region must be looked up.
    ///
    /// # Errors
    /// Returns `profile-missing` when the profile, or the one that `AWS_PROFILE` names, is in no file; `region-missing` when no
    /// region is set anywhere.
    pub async fn open(region: Option<&str>, profile: Option<&str>) -> Result<Self> {
        let named = profile.map(str::to_owned).or_else(|| std::env::var(PROFILE).ok().filter(|name| !name.is_empty()));
        if let Some(name) = &named {
            check_profile(name).await?;
        }
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(clients::http_client(clients::all_plain()))
            .retry_config(clients::retries());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        let mut config = loader.load().await;
        let Some(region) = config.region().map(ToString::to_string) else {
            let of = profile.map_or(String::new(), |name| format!(" and the profile {name} has none"));
            return Err(Error::new(Code::RegionMissing, format!("no AWS region is set{of}")).with_hint(
                "pass --region, set AWS_REGION, or give the profile one: `aws configure set region REGION`",
            ));
        };
        if let Some(profile) = profile {
            // By default keys in the environment would win over the profile, and jobs would run in another account.
            let provider = of_profile(profile, &config);
            config = config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build();
        }
        let clients = Clients::of(&config);
        let clock = ClockInterceptor::new(clients.clock.clone());
        let sts = aws_sdk_sts::config::Builder::from(&config).interceptor(clock).retry_config(first_retries());
        let sts = sts.timeout_config(clients::patience(&config, REPLY_MS_MAX)).build();
        let no_endpoint = |e: BoxError| {
            Error::new(Code::Unreachable, format!("region {region:?} has no endpoint: {e}"))
                .with_hint("check --region, AWS_REGION and the profile")
        };
        let describe_stacks = Caller::new(DESCRIBE_STACKS, &config, &first_retries()).await.map_err(no_endpoint)?;
        let filter_log_events =
            Caller::new(FILTER_LOG_EVENTS, &config, &clients::retries()).await.map_err(no_endpoint)?;
        Ok(Session {
            clients,
            region,
            describe_stacks,
            filter_log_events,
            sts: aws_sdk_sts::Client::from_conf(sts),
            profile: profile.map(str::to_owned),
        })
    }

    /// Adds the requested profile's name to `credentials-missing`: the SDK treats a missing profile like an empty one.
    pub(crate) fn explained(&self, error: Error) -> Error {
        match &self.profile {
            Some(profile) if error.is(Code::CredentialsMissing) => {
                error.context(format!("profile {profile}")).with_hint(format!(
                    "check that ~/.aws/config has it, and sign in by it: `aws login --profile {profile}`"
                ))
            }
            _ => error,
        }
    }

    /// Asks AWS whose credentials these are.
    ///
    /// # Errors
    /// Returns `credentials-missing`, `credentials-expired` or `credentials` when there are no credentials or AWS does not
    /// take them; or a service error of STS.
    pub async fn identity(&self) -> Result<Identity> {
        let doing = Doing::now("asking who asks");
        let said = self.sts.get_caller_identity().reply().await.map_err(|e| self.explained(doing.failed(&e)))?;
        Ok(Identity { account: said.account.unwrap_or_default(), arn: said.arn.unwrap_or_default() })
    }

    /// Returns by how many milliseconds this machine's clock is ahead of AWS's, at least: AWS states whole seconds. Call
    /// [`Session::identity`] before.
    pub fn ahead_ms(&self) -> Option<i64> {
        self.clients.clock.ahead_ms().map(|service| -service)
    }

    /// Reads how many functions of the account can run at once.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when Lambda cannot be reached or refuses.
    pub async fn concurrency(&self) -> Result<Concurrency> {
        let doing = Doing::now("reading the account's limits of Lambda");
        let said = self.clients.lambda.get_account_settings().reply().await.map_err(|e| doing.failed(&e))?;
        let limit =
            said.account_limit.ok_or_else(|| Error::new(Code::Service, "Lambda did not say the account's limits"))?;
        let number = |n: i32| u32::try_from(n).unwrap_or(0);
        let unreserved = limit.unreserved_concurrent_executions.map_or(0, number);
        Ok(Concurrency { unreserved, all: number(limit.concurrent_executions) })
    }
}

/// Returns the credentials of a profile, whatever the environment has.
fn of_profile(profile: &str, config: &SdkConfig) -> ProfileFileCredentialsProvider {
    let how = ProviderConfig::default()
        .with_http_client(clients::http_client(clients::all_plain()))
        .with_region(config.region().cloned());
    ProfileFileCredentialsProvider::builder().configure(&how).profile_name(profile).build()
}

/// Refuses a profile that is in no file: the SDK takes it for one that says nothing, and looks for credentials elsewhere, which
/// may be another account's.
async fn check_profile(name: &str) -> Result<()> {
    let loaded = aws_config::profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await;
    let profiles = loaded.map_err(|e| {
        Error::new(Code::ProfileMissing, format!("reading the profiles of AWS: {}", causes(&e)))
            .with_hint("mend ~/.aws/config and ~/.aws/credentials")
    })?;
    if name == "default" || profiles.get_profile(name).is_some() {
        return Ok(());
    }
    let hint = match names(&profiles) {
        found if found.is_empty() => "there are no profiles: `aws configure` makes one".to_owned(),
        found => format!("the profiles are {}", found.join(", ")),
    };
    let message = format!("there is no profile {name} in ~/.aws/config or ~/.aws/credentials");
    Err(Error::new(Code::ProfileMissing, message).with_hint(hint))
}

fn names(profiles: &ProfileSet) -> Vec<&str> {
    let mut found: Vec<_> = profiles.profiles().collect();
    found.sort_unstable();
    found.truncate(10);
    found
}

/// Returns the retries of the requests with which a session begins.
fn first_retries() -> RetryConfig {
    let all = clients::retries();
    let attempts = all.max_attempts().min(FIRST_ATTEMPTS);
    all.with_max_attempts(attempts)
}
