//! The program `worker`.

fn main() -> std::process::ExitCode {
    worker_cli::main()
}
