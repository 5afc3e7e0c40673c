#!/bin/sh
# Check and time the CUDA path on a machine with a GPU and PyTorch 2.11: numbers against the CPU, the table's GPU rows beside
# the PyTorch loop, chain statistics of bf16 against f32, a few minutes of training, pictures.
#
#   scripts/gpu_check.sh SRM TABLE IMAGES OUT [MINUTES]
#
# SRM and TABLE are the binaries that `cargo build --workspace --all-targets` leaves: target/debug/srm and the newest
# target/debug/deps/table-*. IMAGES is a u8 .npy [n, 64, 64, 3], OUT a folder, MINUTES the training's length (default 4).
# PYTHON names a Python with PyTorch (default python3). Exit status 0: every check held.
set -eu

if [ $# -lt 4 ]; then
    sed -n '2,10p' "$0" >&2
    exit 2
fi
srm=$1 table=$2 images=$3 out=$4 minutes=${5:-4}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"

lib=$("$python" -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))')
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export SRM_LIBTORCH_CUDA="$lib"
failed=0

echo "== what is here"
"$srm" doctor | tee "$out/doctor.txt"

echo "== f' on the GPU in true f32 against the CPU, largest difference (at most 1e-5)"
for row in gpu-64px-n64 gpu-32px-n32; do
    apart=$("$table" --device cuda --precision f32 --only "$row" --devices-apart)
    echo "$row $apart" | tee -a "$out/apart.txt"
    awk -v apart="$apart" 'BEGIN { exit !(apart <= 1e-5) }' || { echo "FAILED: $row differs by $apart"; failed=1; }
done

echo "== the table, srm in each kind of numbers; the published loop beside it computes as libtorch does by default (TF32)"
for precision in f32 tf32 bf16; do
    echo "-- $precision"
    "$table" --device cuda --precision "$precision" --json > "$out/table_$precision.json"
    "$python" - "$out/table_$precision.json" <<'PYTHON'
import json, sys
for row in json.load(open(sys.argv[1]))["rows"]:
    print("%-14s published %8.2f ms  srm %8.2f ms  ratio %5.2f  %9.0f GFLOP/s, %.2f of the matrix product" % (
        row["name"], row["baseline_ms"], row["srm_ms"], row["ratio"], row["gflops"], row["gemm_share"]))
PYTHON
done

echo "== the PyTorch loop, milliseconds a step at 64 px, n 64, m 100"
for tf32 in "" --tf32; do
    "$python" "$here/scripts/published_loop.py" --time --device cuda --size 64 --n 64 --m 100 --K 40 $tf32 |
        tee "$out/pytorch${tf32}.json"
done

echo "== 200 updates at 64 px: chain statistics in f32 and bf16"
for precision in f32 bf16; do
    "$srm" train --config "$here/configs/celeba64.json" --run "$out/chains_$precision" --overwrite --device cuda \
        --precision "$precision" --set "data.images=\"$images\"" --set data.count=null --set train.updates=200 \
        --set langevin.steps=50 --set train.batch=32 --set log.every=1 --set log.samples_every=200 > /dev/null
done
"$python" - "$out/chains_f32/metrics.jsonl" "$out/chains_bf16/metrics.jsonl" <<'PYTHON' || failed=1
import json, statistics, sys
runs = [[json.loads(line) for line in open(path)][100:] for path in sys.argv[1:]]
good = True
for key in ("gap", "chain_grad_norm", "sample_std"):
    means = [statistics.fmean(line[key] for line in run) for run in runs]
    spread = max(statistics.pstdev(line[key] for line in run) for run in runs)
    within = abs(means[0] - means[1]) <= spread
    good &= within
    print("%-16s f32 %9.4f  bf16 %9.4f  spread of updates %.4f  %s" % (key, *means, spread, "ok" if within else "FAILED"))
sys.exit(not good)
PYTHON

echo "== $minutes minutes of training at 64 px, then pictures"
timeout --signal=INT "$((minutes * 60))" "$srm" train --config "$here/configs/celeba64.json" --run "$out/run" --overwrite \
    --device cuda --precision bf16 --set "data.images=\"$images\"" --set data.count=null --set langevin.steps=50 \
    --set train.batch=32 --set 'train.learning_rate=2e-4' --set log.samples_every=500 --set checkpoint.every=500 || true
"$srm" sample --weights "$out/run" --device cuda --out "$out/samples.png" --chain "$out/chain.png"
tail -n 1 "$out/run/metrics.jsonl"
[ "$failed" = 0 ] && echo "all checks held" || { echo "some checks FAILED"; exit 1; }
