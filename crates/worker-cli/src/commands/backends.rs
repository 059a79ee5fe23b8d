//! `worker backends`: what is compiled in, what it can be told, and what it is
//! told now.

pub(super) mod explain;
mod listing;

use backend_core::{Backend, Options as _, backend, backends as registered, schema};
use serde_json::json;

use crate::args::BackendsArguments;
use crate::config_file;
use crate::exit::{ExitStatus, SUCCESS};
use crate::job_settings::JobSettings;
use crate::{providers, table, template};

/// Runs the command.
pub(super) fn backends(arguments: &BackendsArguments) -> anyhow::Result<ExitStatus> {
    let text = match &arguments.alias {
        None => all(arguments)?,
        Some(alias) => one(arguments, backend(alias)?)?,
    };
    super::print(&text)?;
    Ok(SUCCESS)
}

fn all(arguments: &BackendsArguments) -> anyhow::Result<String> {
    let backends = registered()?;
    if arguments.template {
        return Ok(template::template(&backends));
    }
    if arguments.schema {
        return pretty(&template::file_schema(&backends));
    }
    if arguments.explain {
        let config = providers::job_configuration()?;
        let heading = "Settings of the job";
        return Ok(explanation(heading, JobSettings::specs(), &config)?);
    }
    if arguments.json {
        return pretty(&backends.iter().map(|backend| entry(backend)).collect());
    }
    Ok(listing::backends(&backends))
}

fn one(arguments: &BackendsArguments, backend: &Backend) -> anyhow::Result<String> {
    let specs = (backend.options)();
    if arguments.schema {
        return pretty(&schema(backend.alias, specs));
    }
    if arguments.explain {
        let config = providers::configuration(backend.alias, &arguments.options)?;
        let heading = format!("Options of `{}`", backend.alias);
        return Ok(explanation(&heading, specs, &config)?);
    }
    if arguments.json {
        let mut entry = entry(backend);
        if let Some(object) = entry.as_object_mut() {
            object.insert("options".into(), json!(specs));
            object.insert("schema".into(), schema(backend.alias, specs));
        }
        return pretty(&entry);
    }
    Ok(listing::options(backend, table::width()))
}

/// What is set, or all that is wrong with the file.
fn explanation(
    heading: &str,
    specs: &[backend_core::OptionSpec],
    config: &backend_core::ProviderConfig,
) -> backend_core::Result<String> {
    providers::check_file()?;
    let file = config_file::current()?;
    Ok(explain::text(heading, file.path(), specs, config))
}

fn entry(backend: &Backend) -> serde_json::Value {
    json!({"alias": backend.alias, "human_readable_name": backend.human_readable_name})
}

fn pretty(value: &serde_json::Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
