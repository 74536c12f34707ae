//! `kabar plugin`: from an idea to a hook that works, which needs no server, and from there to one that
//! runs on a server.

mod build;
mod deploy;
mod new;
mod test_command;

use clap::{Args, Subcommand};

/// What makes this program a compiler of components, for [`kabar_plugins::CompilerMode::Program`].
pub const COMPILER_ARGUMENTS: [&str; 2] = ["plugin", "compile"];

/// `kabar plugin`.
#[derive(Debug, Args)]
pub struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Make a folder with a hook that works, to go on from.
    New(new::NewArgs),
    /// Build the hook in a folder, or make a component of a core module.
    Build(build::BuildArgs),
    /// Run a hook on an event, here and now: shows what it says and what it wants done, and does none of it.
    /// Exits 0 if the hook succeeded, else 1.
    Test(test_command::TestArgs),
    /// Upload a component to a server and let it run there.
    Deploy(deploy::DeployArgs),
    /// What a hook on a server wrote, oldest first.
    Logs(deploy::LogsArgs),
    /// What became of the events that a hook on a server got, newest first.
    Runs(deploy::RunsArgs),
    /// Let the version of a hook run again that ran before.
    Rollback(deploy::RollbackArgs),
    /// Compile a component from standard input to standard output, for the server.
    #[command(hide = true)]
    Compile,
}

/// Does what was asked for.
///
/// # Errors
/// When it cannot be done; says what to do instead where that is known.
pub async fn run(args: PluginArgs) -> anyhow::Result<()> {
    match args.command {
        PluginCommand::New(args) => new::create_folder(&args),
        PluginCommand::Build(args) => build::build_component(&args),
        PluginCommand::Test(args) => test_command::run_trial(args).await,
        PluginCommand::Deploy(args) => deploy::deploy_component(args).await,
        PluginCommand::Logs(args) => deploy::print_logs(args).await,
        PluginCommand::Runs(args) => deploy::print_runs(args).await,
        PluginCommand::Rollback(args) => deploy::roll_back(args).await,
        PluginCommand::Compile => {
            Ok(kabar_plugins::compile_stdin(std::io::stdin().lock(), std::io::stdout().lock())?)
        }
    }
}
