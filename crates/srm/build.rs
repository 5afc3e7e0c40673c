//! Give this package's examples and tests the path of libtorch.

fn main() {
    srm_build::rpath();
}
