#!/bin/sh
# Gather in one folder what scripts/gpu_check.sh needs on a machine with a GPU that has PyTorch 2.11 and no compiler.
#
#   scripts/gpu_bundle.sh FOLDER IMAGES
#
# IMAGES is a u8 .npy [n, 64, 64, 3]. There, in a copy of the repository:
#   sh scripts/gpu_check.sh FOLDER/srm FOLDER/table FOLDER/images.npy OUT [MINUTES]
set -eu

if [ $# -ne 2 ]; then
    sed -n '2,7p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd) images=$(realpath "$2")
target=$(realpath "${CARGO_TARGET_DIR:-$here/target}")

cd "$here"
cargo build --quiet -p srm-cli --bins --bench table
table=$(find "$target/debug/deps" -name 'table-*' ! -name '*.d' -exec ls -t {} + | head -n 1)
strip -o "$folder/srm" "$target/debug/srm"
strip -o "$folder/table" "$table"
cp "$images" "$folder/images.npy"

# what SRM_CUDA_TRY needs: compiled here, against the libtorch of the wheel that runs there
rm -f "$folder/libsrm_cuda.so"
said=$(cargo xtask setup --cuda)
shim=$(echo "$said" | sed -n 's/ is there for SRM_CUDA_TRY$//p')
if [ -n "$shim" ]; then cp "$shim" "$folder/libsrm_cuda.so"; else echo "$said" >&2; fi

du -ch "$folder"/*
