//! Say what is wrong with the libtorch to build on, give the tests its path, and note whether the kernels are optimised.

use std::env;

fn main() {
    srm_build::check();
    srm_build::rpath();
    let level = env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=SRM_OPT_LEVEL={level}");
    if ["0", "1"].contains(&&*level) {
        println!(
            "cargo::warning=the kernels are compiled without optimisation, dozens of times slower; add the profile of srm's page"
        );
    }
}
