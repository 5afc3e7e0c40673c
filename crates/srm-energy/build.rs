//! Say what is wrong with the libtorch to build on, and give the tests its path.

fn main() {
    srm_build::check();
    srm_build::rpath();
}
