//! Start srm.

fn main() -> std::process::ExitCode {
    srm_cli::main()
}
