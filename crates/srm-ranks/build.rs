//! Give this package's programs and tests the path of libtorch.

fn main() {
    srm_build::rpath();
}
