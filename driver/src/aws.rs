//! A stack on AWS, as `sam deploy` made it.

use crate::driver::Driver;
use crate::place::{Cloud, Place};
use crate::program::{Architecture, Program, Shipping};
use crate::{Code, Error, Result};
use kinglet_aws::{Conductor, Deployed, Session};

/// A stack on AWS to connect to. Credentials, region, profiles, SSO and endpoints are found as every AWS tool finds them:
/// options first, then the environment, then the profile.
///
/// ```no_run
/// # async fn connect() -> kinglet::Result<()> {
/// let driver = kinglet::Aws::new("kinglet").with_region("eu-west-1").with_profile("analytics").connect().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is connected"]
pub struct Aws {
    stack: String,
    region: Option<String>,
    profile: Option<String>,
    program: Program,
}

impl Aws {
    /// Names the stack.
    pub fn new(stack: impl Into<String>) -> Self {
        Aws { stack: stack.into(), region: None, profile: None, program: Program::Itself }
    }

    /// Looks for the stack in this region, whatever the environment and the profile say.
    pub fn with_region(self, region: impl Into<String>) -> Self {
        Aws { region: Some(region.into()), ..self }
    }

    /// Signs in with this profile of `~/.aws/config`, whatever credentials the environment has.
    pub fn with_profile(self, profile: impl Into<String>) -> Self {
        Aws { profile: Some(profile.into()), ..self }
    }

    pub(crate) fn name(&self) -> &str {
        &self.stack
    }

    pub(crate) async fn session(&self) -> Result<Session> {
        Session::open(self.region.as_deref(), self.profile.as_deref()).await
    }

    /// Sets where the functions get the jobs' code from. By default this program ships itself ([`Program::Itself`]).
    /// [`Program::Linked`] is for functions that were built and deployed with the jobs in them.
    pub fn with_program(self, program: Program) -> Self {
        Aws { program, ..self }
    }

    /// Reads the stack's outputs, which takes one request to CloudFormation, and checks that its functions and this program
    /// understand each other.
    ///
    /// # Errors
    /// `profile-missing`; `region-missing`; `stack-missing`, with the names of the stacks that there are; `stack-state` when the stack is not
    /// whole; `stack-outputs` when it is not Kinglet's; `wire-version` when it is of another version; `no-jobs`,
    /// `job-name-taken` and `driver-in-worker` as with [`crate::Local::start`]; [a service error](crate#errors), most often
    /// one of credentials.
    pub async fn connect(self) -> Result<Driver> {
        crate::entry::refuse_in_worker()?;
        let jobs = crate::entry::registry()?;
        jobs.check()?;
        let session = self.session().await?;
        let deployed = Deployed::find(&session, &self.stack).await?;
        let conductor = Conductor::new(session.clients.clone(), deployed.stack.clone());
        let output = |key: &str| deployed.outputs.get(key).map(String::as_str);
        let architecture = output("Architecture").ok_or_else(|| {
            Error::new(Code::StackOutputs, format!("stack {} has no output Architecture", self.stack))
                .with_hint("deploy the template of this version")
        });
        let allowed = output("ShippedPrograms") == Some("allow");
        let shipping = Shipping::new(self.program, architecture.and_then(Architecture::of), allowed);
        Ok(Driver::new(conductor, jobs, Place::Aws(Box::new(Cloud { session, deployed })), shipping))
    }
}

impl Driver {
    /// Connects to the stack of this name on AWS, with the region and the credentials that every AWS tool finds. [`Aws`] has
    /// the choices.
    ///
    /// ```no_run
    /// # async fn connect() -> kinglet::Result<()> {
    /// let driver = kinglet::Driver::aws("kinglet").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Aws::connect`].
    pub async fn aws(stack: impl Into<String>) -> Result<Driver> {
        Aws::new(stack).connect().await
    }
}
