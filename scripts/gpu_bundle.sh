#!/bin/sh
# Gather in one folder what scripts/gpu_check.sh needs on a machine with a GPU that has PyTorch 2.11 and no compiler.
#
#   scripts/gpu_bundle.sh FOLDER IMAGES
#
# IMAGES is a u8 .npy [n, 64, 64, 3]. There, in a copy of the repository:
#   sh scripts/gpu_check.sh FOLDER/srm FOLDER/table FOLDER/images.npy OUT [MINUTES]
set -eu

if [ $# -ne 2 ]; then
    sed -n '2,8p' "$0" >&2
    exit 2
fi
folder=$1 images=$2
here=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
mkdir -p "$folder"

cd "$here"
cargo build --quiet -p srm-cli --bins --bench table
table=$(find "$target/debug/deps" -name 'table-*' ! -name '*.d' -exec ls -t {} + | head -n 1)
strip -o "$folder/srm" "$target/debug/srm"
strip -o "$folder/table" "$table"
cp "$images" "$folder/images.npy"

# what SRM_CUDA_TRY needs: compiled here, against the libtorch of the wheel that runs there
cargo xtask setup --cuda | grep libsrm_cuda
shim=$(find "${XDG_CACHE_HOME:-$HOME/.cache}/srm" -name libsrm_cuda.so | head -n 1)
[ -z "$shim" ] || cp "$shim" "$folder/libsrm_cuda.so"

du -ch "$folder"/*
