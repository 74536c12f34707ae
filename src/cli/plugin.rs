//! `kabar plugin`: creates, builds and tests a hook without a server, then deploys it to one.

mod build;
mod deploy;
mod new;
mod test_command;

use clap::{Args, Subcommand};

/// Arguments that make this program the component compiler, for [`kabar_plugins::CompilerMode::Program`].
pub const COMPILER_ARGUMENTS: [&str; 2] = ["plugin", "compile"];

/// `kabar plugin`.
#[derive(Debug, Args)]
pub struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Create a folder with a working hook as a starting point.
    New(new::NewArgs),
    /// Build the hook in a folder, or make a component of a core module.
    Build(build::BuildArgs),
    /// Run a hook on an event on this machine: shows its output and its requested effects, and performs none
    /// of them. Exits 0 if the hook succeeded, else 1.
    Test(test_command::TestArgs),
    /// Upload a component to a server and let it run there.
    Deploy(deploy::DeployArgs),
    /// Show log lines of a hook on a server, oldest first.
    Logs(deploy::LogsArgs),
    /// Show runs of a hook on a server with their outcomes, newest first.
    Runs(deploy::RunsArgs),
    /// Activate the previous version of a hook again.
    Rollback(deploy::RollbackArgs),
    /// Compile a component from standard input to standard output, for the server.
    #[command(hide = true)]
    Compile,
}

/// Runs the command.
///
/// # Errors
/// If it fails; the error names the remedy where one is known.
pub async fn run(args: PluginArgs) -> anyhow::Result<()> {
    match args.command {
        PluginCommand::New(args) => new::create_folder(&args),
        PluginCommand::Build(args) => build::build_component(&args),
        PluginCommand::Test(args) => test_command::run_trial(args).await,
        PluginCommand::Deploy(args) => deploy::deploy_component(args).await,
        PluginCommand::Logs(args) => deploy::print_logs(args).await,
        PluginCommand::Runs(args) => deploy::print_runs(args).await,
        PluginCommand::Rollback(args) => deploy::roll_back(args).await,
        PluginCommand::Compile => run_compiler(),
    }
}

impl PluginArgs {
    /// Returns `true` for the command that [`run_compiler`] carries out.
    pub(super) const fn is_compiler(&self) -> bool {
        matches!(self.command, PluginCommand::Compile)
    }
}

/// Compiles a component from standard input to standard output.
///
/// # Errors
/// If reading or writing fails.
pub fn run_compiler() -> anyhow::Result<()> {
    Ok(kabar_plugins::compile_stdin(std::io::stdin().lock(), std::io::stdout().lock())?)
}
