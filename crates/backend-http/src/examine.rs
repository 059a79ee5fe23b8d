//! What there is to use of one server and for it, and the way to it step by
//! step.

use backend_core::{Candidate, Error, ErrorKind, Examination, Operation, Verdict};

use crate::call::Call;
use crate::error::Failure;
use crate::options::HttpOptions;
use crate::remote::{Remote, Reply};

/// Begins with what the options say of all servers.
pub(crate) fn begin(options: &HttpOptions, examination: &mut Examination) {
    let file = |what, path: &Option<std::path::PathBuf>, key: &str| {
        path.as_ref().map(|path| Candidate {
            what,
            name: path.display().to_string(),
            origin: format!("the option `{key}`"),
            verdict: Verdict::Used,
        })
    };
    let token = options.token.as_ref().map(|_| Candidate {
        what: "token",
        name: "(hidden)".into(),
        origin: "the option `token`".into(),
        verdict: Verdict::Used,
    });
    let none = Candidate {
        what: "token",
        name: "-".into(),
        origin: "default".into(),
        verdict: Verdict::PassedOver("none is set".into()),
    };
    let token = token.or_else(|| file("token file", &options.token_file, "token-file"));
    let authorities = file("authorities", &options.ca_file, "ca-file");
    examination.candidates.push(token.unwrap_or(none));
    examination.candidates.extend(authorities);
}

/// Examines one server; `discovered` looks at what it says of itself.
pub(crate) async fn examine(
    remote: &Remote,
    discovered: impl Fn(&Reply) -> Result<(), Failure>,
    failed: impl Fn(Failure) -> Error,
) -> Examination {
    let mut examination = Examination::default();
    let result = tried(remote, discovered, &mut examination).await;
    let result = result.map_err(failed);
    if let Err(error) = &result
        && error.kind() == ErrorKind::Denied
    {
        examination.begin("credentials");
    }
    examination.end(result);
    examination.candidates.push(Candidate {
        what: "server",
        name: remote.endpoint.to_string(),
        origin: "the option `endpoint`".into(),
        verdict: examination.verdict(),
    });
    examination
}

async fn tried(
    remote: &Remote,
    discovered: impl Fn(&Reply) -> Result<(), Failure>,
    examination: &mut Examination,
) -> Result<(), Failure> {
    examination.begin("connect");
    let reply = remote.call(&Call::discover()).await?;
    examination.begin("version");
    discovered(&reply)?;
    let date = reply.header("date").map(httpdate::parse_http_date);
    if let Some(Ok(date)) = date {
        examination.clock(date);
    }
    // A server may tell everybody who it is.
    examination.begin("credentials");
    remote.call(&Call::list(None)).await?;
    Ok(())
}

/// The error of the contract.
pub(crate) fn failure(remote: &Remote, error: Failure) -> Error {
    error.of_server(&remote.endpoint).during(Operation::Setup)
}
