//! Start srm.

fn main() {
    srm_cli::main()
}
