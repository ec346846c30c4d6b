//! Requests to services of which Kinglet needs one call each, without their SDKs.
//!
//! The SDKs of CloudFormation and CloudWatch Logs have 208 calls, and took 44 of the 577 CPU seconds of a first build (2026-11-22).
//! What an SDK does for every call is done here by the crates that all SDKs share: endpoint, credentials, signature, time limits
//! and retries.

#[cfg(feature = "driver")]
pub(crate) mod events;
mod json;
pub(crate) mod put_events;
pub(crate) mod send_task;
#[cfg(feature = "driver")]
pub(crate) mod stacks;

use crate::clients;
use crate::request::Reply;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::service_clock_skew::ServiceClockSkewInterceptor;
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use kinglet_core::limits::REPLY_MS_MAX;
use std::fmt;

/// A call, as the service's API reference has it.
pub(crate) struct Call<O> {
    /// The service's name in the SDKs, by which settings name it.
    pub(crate) service: &'static str,
    /// The service's name in its hosts' names and in signatures.
    pub(crate) host: &'static str,
    /// The call's name.
    pub(crate) operation: &'static str,
    /// The headers of its requests, besides those of all requests.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// Reads the reply to a call that succeeded.
    pub(crate) reply: fn(&[u8]) -> Result<O, BoxError>,
    /// Reads the code and the message of a reply to one that did not.
    pub(crate) refusal: fn(&[u8]) -> Result<ErrorMetadata, BoxError>,
}

/// A call that can be sent.
pub(crate) struct Caller<O>(Operation<String, O, Refused>);

impl<O> Clone for Caller<O> {
    fn clone(&self) -> Self {
        Caller(self.0.clone())
    }
}

impl<O: fmt::Debug + Send + Sync + 'static> Caller<O> {
    /// Returns a call configured as the SDKs' clients are. Fails when no endpoint is known for the region.
    pub(crate) async fn new(call: Call<O>, config: &SdkConfig, retries: &RetryConfig) -> Result<Self, BoxError> {
        let Call { service, host, operation, headers, reply, refusal } = call;
        let url = match clients::endpoint(config, service) {
            Some(url) => url,
            None => url_of(config, host).await?,
        };
        let mut builder = Operation::builder()
            .service_name(service)
            .operation_name(operation)
            .endpoint_url(&url)
            .standard_retry(retries)
            .timeout_config(clients::patience(config, REPLY_MS_MAX))
            .with_connection_poisoning()
            .interceptor(ServiceClockSkewInterceptor::new())
            .retry_classifier(AwsErrorCodeClassifier::<Refused>::new())
            .retry_classifier(TransientErrorClassifier::<Refused>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .runtime_plugin(signing(config, host));
        if let Some(version) = config.behavior_version() {
            builder = builder.behavior_version(version);
        }
        if let Some(http) = config.http_client() {
            builder = builder.http_client(http);
        }
        if let Some(sleep) = config.sleep_impl() {
            builder = builder.sleep_impl(sleep);
        }
        if let Some(time) = config.time_source() {
            builder = builder.time_source(time);
        }
        let builder = builder.serializer(move |body: String| request(headers, body));
        Ok(Caller(builder.deserializer(move |got| read(got, reply, refusal)).build()))
    }

    /// Sends a request with this body, and waits for the reply.
    pub(crate) fn reply(&self, body: String) -> Reply<O, Refused> {
        let call = self.0.clone();
        Box::pin(async move { call.invoke(body).await })
    }
}

/// Returns the URL of a service in the configured region: that of STS, whose SDK knows the partitions, under the other's name.
async fn url_of(config: &SdkConfig, host: &str) -> Result<String, BoxError> {
    let params = Params::builder()
        .set_region(config.region().map(ToString::to_string))
        .set_use_fips(config.use_fips())
        .set_use_dual_stack(config.use_dual_stack())
        .build()?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await?;
    Ok(endpoint.url().replacen("://sts", &format!("://{host}"), 1))
}

/// Returns what signs requests with the configured credentials.
fn signing(config: &SdkConfig, name: &'static str) -> StaticRuntimePlugin {
    let mut layer = Layer::new("signing");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SigV4OperationSigningConfig {
        name: Some(SigningName::from_static(name)),
        region: config.region().cloned().map(SigningRegion::from),
        ..SigV4OperationSigningConfig::default()
    });
    let mut components = RuntimeComponentsBuilder::new("signing");
    let schemes = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
    components.set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(schemes)));
    components.push_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()));
    if let Some(cache) = config.identity_cache() {
        components.set_identity_cache(Some(cache));
    }
    if let Some(credentials) = config.credentials_provider() {
        components.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(credentials));
    }
    StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
}

fn request(headers: &[(&'static str, &'static str)], body: String) -> Result<HttpRequest, BoxError> {
    let length = body.len().to_string();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    request.headers_mut().insert("content-length", length);
    request.headers_mut().insert("user-agent", concat!("kinglet/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request.headers_mut().insert(*name, *value);
    }
    Ok(request)
}

fn read<O>(
    got: &HttpResponse,
    reply: fn(&[u8]) -> Result<O, BoxError>,
    refusal: fn(&[u8]) -> Result<ErrorMetadata, BoxError>,
) -> Result<O, OrchestratorError<Refused>> {
    let body = got.body().bytes().unwrap_or_default();
    let refused = if got.status().is_success() {
        match reply(body) {
            Ok(reply) => return Ok(reply),
            Err(unreadable) => Refused { said: ErrorMetadata::default(), unreadable: Some(unreadable) },
        }
    } else {
        match refusal(body) {
            Ok(said) => Refused { said, unreadable: None },
            Err(unreadable) => Refused { said: ErrorMetadata::default(), unreadable: Some(unreadable) },
        }
    };
    Err(OrchestratorError::operation(refused))
}

/// What a service said instead of a result, or why that cannot be read.
#[derive(Debug)]
pub(crate) struct Refused {
    said: ErrorMetadata,
    unreadable: Option<BoxError>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unreadable {
            Some(_) => f.write_str("the reply cannot be read"),
            None => self.said.fmt(f),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.unreadable.as_deref().map(|cause| cause as _)
    }
}

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.said
    }
}
