//! The other data plane: a machine that the service hands out, over SSH.

#[cfg(feature = "ssh")]
pub(crate) use with_ssh::start;
#[cfg(not(feature = "ssh"))]
pub(crate) use without_ssh::start;

#[cfg(feature = "ssh")]
mod with_ssh {
    use std::sync::Arc;
    use std::time::Duration;

    use backend_core::{
        Instance, Options as _, Phase, Progress, Provider as _, ProviderConfig, StartAttributes,
        StartContext,
    };
    use backend_ssh::{PinnedMachine, SshOptions, SshProvider};
    use tokio::time::Instant;
    use worker_api::SshConnect;

    use crate::backoff::Backoff;
    use crate::error::Failure;
    use crate::options::HttpOptions;

    /// How long a machine that is new may refuse connections.
    const BOOTS: Duration = Duration::from_mins(2);

    /// An instance on the machine, with the host key that the service says.
    pub(crate) async fn start(
        connect: &SshConnect,
        options: &HttpOptions,
        attributes: &StartAttributes,
        context: &StartContext,
    ) -> Result<Arc<dyn Instance>, Failure> {
        let machine = PinnedMachine {
            host: connect.host.clone(),
            port: connect.port,
            user: connect.user.clone(),
            host_key: connect.host_key.clone(),
            private_key: None,
        };
        let provider = provider(&machine, options).map_err(Failure::Machine)?;
        let (began, mut backoff) = (Instant::now(), Backoff::new());
        loop {
            let error = match provider.start(attributes, context).await {
                Ok(instance) => return Ok(instance.into()),
                Err(error) => error,
            };
            let pause = backoff.pause(None);
            if !error.is_retryable() || began.elapsed() + pause > BOOTS {
                return Err(Failure::Machine(error));
            }
            let detail = format!("for {} to answer", connect.host);
            context
                .progress
                .report(Progress::new(Phase::Waiting, detail));
            tokio::time::sleep(pause).await;
        }
    }

    fn provider(
        machine: &PinnedMachine,
        options: &HttpOptions,
    ) -> backend_core::Result<SshProvider> {
        let time = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut config = ProviderConfig::from([
            ("resume-window", time(options.resume_window)),
            ("connect-timeout", time(options.connect_timeout)),
            // How many share a machine is the service's to say.
            ("slots", "1024".to_owned()),
        ]);
        if let Some(path) = &options.identity_file {
            config.set(
                "identity-file",
                path.display().to_string().replace(',', "\\,"),
            );
        }
        SshProvider::pinned(machine, SshOptions::parse("ssh", &config)?)
    }
}

#[cfg(not(feature = "ssh"))]
mod without_ssh {
    use std::sync::Arc;

    use backend_core::{Instance, StartAttributes, StartContext};
    use worker_api::SshConnect;

    use crate::error::Failure;
    use crate::options::HttpOptions;

    /// Refuses: this program has no SSH.
    pub(crate) async fn start(
        _: &SshConnect,
        _: &HttpOptions,
        _: &StartAttributes,
        _: &StartContext,
    ) -> Result<Arc<dyn Instance>, Failure> {
        Err(Failure::NoSsh)
    }
}
