//! Runs one script on this machine, and says on standard error how it ended:
//! `run SCRIPT [KEY=VALUE]...`, where the pairs are options of the backend.

#[tokio::main]
async fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    use backend_core::{InstanceExt, ProviderConfig, ProviderExt, StartAttributes};

    let mut arguments = std::env::args().skip(1);
    let script = std::fs::read(arguments.next().ok_or("which script?")?)?;
    let pairs: Vec<_> = arguments.collect();
    let config: ProviderConfig = pairs
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .collect();

    let provider = (backend_local::BACKEND.provider)(&config)?;
    provider.setup().await?;
    let instance = provider.start_new(&StartAttributes::default()).await?;
    instance.upload_script(&script).await?;
    let result = instance.run_to(tokio::io::stdout()).await;
    instance.stop().await?;

    let result = result?;
    #[expect(clippy::print_stderr, reason = "it is a program")]
    {
        eprintln!("{}", result.outcome);
    }
    let code = result.exit_code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(1).into())
}
