#!/bin/sh
# Check and time the CUDA path on a machine with a GPU and PyTorch 2.11, part by part: one that fails or runs out of time ends no
# other, and each writes what it finds as it goes.
#
#   scripts/gpu_check.sh SRM TABLE IMAGES OUT [MINUTES]
#
# SRM, TABLE and IMAGES are those of scripts/gpu_bundle.sh, or target/debug/srm and the newest target/debug/deps/table-* that
# `cargo build --workspace --all-targets` leaves, and a u8 .npy [n, 64, 64, 3]. OUT is a folder, MINUTES the training's length
# (default 4). PYTHON names a Python with PyTorch (default python3), PARTS some parts alone. DEVICE=cpu rehearses all of them, small,
# on the CPU; so does REHEARSE=1 on the tests' stand-in for a GPU (target/tmp/stand_in_*.so), which SRM_LIBTORCH_CUDA and SRM_CUDA_SHIM
# then name. OUT/parts.txt says how each ended; exit status 0: every check held. Of a quarter of an hour: PARTS="doctor apart table
# loop tried" first, then PARTS="train pictures resume" for 3 minutes, then the rest. BRING (default OUT/bring) gets what to take home,
# six small files, anew after each part.
set -u

if [ $# -lt 4 ]; then
    sed -n '2,13p' "$0" >&2
    exit 2
fi
srm=$1 table=$2 images=$3 out=$4 minutes=${5:-4}
python=${PYTHON:-python3} device=${DEVICE:-cuda}
rehearse=${REHEARSE:-}
[ "$device" = cpu ] && rehearse=1
here=$(cd "$(dirname "$0")/.." && pwd)

if [ -z "${SRM_PART:-}" ]; then
    mkdir -p "$out"
    lib=$("$python" -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))') || exit 1
    export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    [ "$device" = cpu ] || export SRM_LIBTORCH_CUDA="${SRM_LIBTORCH_CUDA:-$lib}"
    shim=$(cd "$(dirname "$srm")" && pwd)/libsrm_cuda.so # of scripts/gpu_bundle.sh
    [ ! -f "$shim" ] || export SRM_CUDA_SHIM="${SRM_CUDA_SHIM:-$shim}"
    bring=${BRING:-$out/bring}
    mkdir -p "$bring"
    failed=0
    # the name of each part and the seconds that it may take
    for part in doctor:30 apart:60 table:150 loop:200 tried:200 train:$((minutes * 60 + 60)) pictures:90 resume:100 chains:150 stop:60 refused:60; do
        name=${part%:*}
        case " ${PARTS:-$name} " in *" $name "*) ;; *) continue ;; esac
        echo "== $name"
        began=$(date +%s)
        SRM_PART=$name timeout -k 10 "${part#*:}" sh "$0" "$@" > "$out/$name.txt" 2>&1
        status=$?
        tail -n 25 "$out/$name.txt"
        case $status in 0) said=ok ;; 124 | 137) said="OUT OF TIME" failed=1 ;; *) said="FAILED ($status)" failed=1 ;; esac
        echo "$name: $said, $(($(date +%s) - began)) s" | tee -a "$out/parts.txt"
        for text in "$out"/*.txt "$out"/*.json "$out"/*.csv; do
            [ ! -f "$text" ] || { echo "==== ${text##*/}"; tail -c 200000 "$text"; echo; }
        done > "$bring/report.txt"
        for file in "$out/run/metrics.jsonl" "$out"/samples.png "$out"/chain.png "$out"/interpolation.png \
            "$out"/reconstruction.png; do
            [ ! -f "$file" ] || cp "$file" "$bring/"
        done
    done
    exit $failed
fi

# What a rehearsal makes smaller: the nets, the chains, the rows of the table.
if [ -n "$rehearse" ]; then
    small="--set energy.features=4 --set langevin.steps=4 --set train.batch=4"
    rows=32px-n16 timed=32px-n16 updates=6 sizes="32,8,8,2" kinds=f32 seconds=20
    [ "$device" = cpu ] || rows=gpu-rehearsal timed=gpu-rehearsal
else
    small="--set langevin.steps=50 --set train.batch=32"
    rows="gpu-64px-n64 gpu-32px-n64" timed=gpu-64px-n64,gpu-32px-n64,gpu-32px-n32,gpu-update updates=200 sizes="64,64,100,40 32,64,64,100" kinds="f32 tf32 bf16" seconds=$((minutes * 60))
fi
precision() { [ "$device" = cpu ] || echo "--precision $1"; }

# train RUN FLAG...: learn from the images anew by the headline's config; $where: on which device, $before: what starts it
where="--device $device" before=
train() {
    run=$1
    shift
    # shellcheck disable=SC2086
    $before "$srm" train --config "$here/configs/celeba64.json" --run "$run" --overwrite $where --set "data.images=\"$images\"" \
        --set data.count=null --set train.learning_rate=2e-4 $small "$@"
}

# weights of the newest checkpoint of a run
weights() { find "$1/checkpoints" -path '*/0*/weights.safetensors' | sort | tail -n 1; }

case $SRM_PART in
doctor)
    "$srm" doctor
    ;;
apart) # f' on the GPU in true f32 against the CPU, largest difference
    for row in $rows; do
        # shellcheck disable=SC2046
        apart=$("$table" --device "$device" $(precision f32) --only "$row" --devices-apart) || exit 1
        echo "$row $apart (at most 1e-5)"
        awk -v apart="$apart" 'BEGIN { exit !(apart <= 1e-5) }' || exit 1
    done
    ;;
table) # srm in each kind of numbers; the published loop beside it computes as libtorch does by default (TF32)
    for kind in $kinds; do
        echo "-- $kind"
        # shellcheck disable=SC2046
        "$table" --device "$device" $(precision "$kind") --only "$timed" --json > "$out/table_$kind.json" || exit 1
        "$python" - "$out/table_$kind.json" << 'PYTHON' || exit 1
import json, sys
for row in json.load(open(sys.argv[1]))["rows"]:
    print("%-14s published %8.2f ms  srm %8.2f ms  ratio %5.2f  %9.0f GFLOP/s, %.2f of the matrix product" % (
        row["name"], row["baseline_ms"], row["srm_ms"], row["ratio"], row["gflops"], row["gemm_share"]))
PYTHON
    done
    ;;
loop) # the PyTorch loop, milliseconds a step
    compiled="--tf32 --compile"
    [ -n "$rehearse" ] && compiled=
    for size in $sizes; do # px, features, chains, steps
        IFS=, read -r px n m steps << SIZE
$size
SIZE
        for more in "" --tf32 ${compiled:+"$compiled"}; do
            # shellcheck disable=SC2086
            "$python" "$here/scripts/published_loop.py" --time --device "$device" --size "$px" --n "$n" --m "$m" --K "$steps" $more \
                > "$out/pytorch.json" || exit 1
            echo "$px px ${more:-plain} $(cat "$out/pytorch.json")"
        done
    done
    ;;
tried) # what SRM_CUDA_TRY switches on: that a graph changes no bit, milliseconds a step of each and of all
    [ "$device" = cpu ] && { echo "a GPU's alone"; exit 0; }
    failed=0
    for try in same same,graph; do # cuDNN's search may end elsewhere in each process
        SRM_CUDA_TRY=$try "$srm" sample --weights fashion32 --device cuda --precision bf16 --count 64 --out "$out/tried_$try.npy" || failed=1
    done
    if cmp "$out/tried_same.npy" "$out/tried_same,graph.npy"; then echo "a graph: the same bits"; else failed=1; fi
    for try in "" graph pad fuse same graph,pad,fuse; do
        names=$(echo "$rows" | tr ' ' ',')
        SRM_CUDA_TRY=$try "$table" --device cuda --precision bf16 --only "$names" --json > "$out/tried.json" || { echo "${try:-plain} FAILED"; failed=1; continue; }
        "$python" - "$out/tried.json" "${try:-plain}" << 'PYTHON'
import json, sys
for row in json.load(open(sys.argv[1]))["rows"]:
    print("%-14s %-15s srm %8.3f ms  %.2f of the matrix product" % (row["name"], sys.argv[2], row["srm_ms"], row["gemm_share"]))
PYTHON
    done
    exit $failed
    ;;
train) # the recipe for the minutes there are
    if command -v nvidia-smi > /dev/null; then
        nvidia-smi --query-gpu=name,memory.used,utilization.gpu --format=csv,noheader -l 5 > "$out/memory.csv" &
        watcher=$!
    fi
    before="timeout --signal=INT $seconds" where="$where $(precision bf16)"
    train "$out/run" --set log.every=50 --set log.samples_every=500 --set checkpoint.every=500
    [ -z "${watcher:-}" ] || kill "$watcher"
    tail -n 1 "$out/run/metrics.jsonl" && weights "$out/run" | grep .
    ;;
pictures) # of what was trained, by every command
    set -e
    "$srm" sample --weights "$out/run" --device "$device" --count 16 --out "$out/samples.png" --chain "$out/chain.png"
    "$srm" interpolate --weights "$out/run" --device "$device" --pairs 2 --out "$out/interpolation.png"
    "$srm" reconstruct --weights "$out/run" --device "$device" --images "$images" --count 4 --iterations 50 --out "$out/reconstruction.png"
    "$srm" evaluate --weights "$out/run" --device "$device" --data "$images" --count 100 --newest
    ;;
resume) # twenty updates, and twice ten: the same bits; as users run it cuDNN's search may end elsewhere after a resume
    set -e
    twice() {
        train "$out/whole$1" --set train.updates=20 --set checkpoint.every=10
        train "$out/parts$1" --set train.updates=10 --set checkpoint.every=10
        "$srm" train --resume --run "$out/parts$1" --device "$device" --set train.updates=20
        cmp "$(weights "$out/whole$1")" "$(weights "$out/parts$1")"
    }
    if twice _searched; then echo "with cuDNN's search: the same bits"; else echo "with cuDNN's search: other bits"; fi
    [ "$device" = cpu ] || export SRM_CUDA_TRY=same
    twice ""
    echo "the same bits"
    ;;
chains) # the statistics of chains in f32, in bf16, and on the CPU, at a size that the CPU can do
    set -e
    for kind in f32 bf16 cpu; do
        case $kind in cpu) where="--device cpu" ;; *) where="--device $device $(precision $kind)" ;; esac
        train "$out/chains_$kind" --set train.updates=$updates --set energy.features=8 --set langevin.steps=20 \
            --set train.batch=16 --set log.every=1 --set log.samples_every=1000 > /dev/null
    done
    "$python" - "$out" << 'PYTHON'
import json, statistics, sys
runs = {kind: [json.loads(line) for line in open(f"{sys.argv[1]}/chains_{kind}/metrics.jsonl")] for kind in ("f32", "bf16", "cpu")}
runs = {kind: lines[len(lines) // 2:] for kind, lines in runs.items()}
good = True
for key in ("gap", "chain_grad_norm", "sample_std"):
    means = {kind: statistics.fmean(line[key] for line in run) for kind, run in runs.items()}
    spread = max(statistics.pstdev(line[key] for line in run) for run in runs.values())
    within = max(means.values()) - min(means.values()) <= spread
    good &= within
    print("%-16s %s  spread of updates %.4f  %s" % (key, means, spread, "ok" if within else "FAILED"))
sys.exit(not good)
PYTHON
    ;;
stop) # Ctrl-C in the middle
    before="timeout --signal=INT 20"
    train "$out/stopped" --set train.updates=100000 > "$out/stopped.txt" 2>&1
    tail -n 3 "$out/stopped.txt"
    grep -q -- "--resume goes on from there" "$out/stopped.txt"
    ;;
refused) # a device that is not there, and more than there is memory for
    said=$("$srm" sample --weights fashion32 --device cuda:9 --out "$out/none.png" 2>&1) && exit 1
    echo "$said"
    echo "$said" | grep -q cuda || exit 1
    [ "$device" = cpu ] && exit 0
    many=65535
    [ -n "$rehearse" ] && many=2048 && export SRM_STAND_IN_MB=64
    said=$("$srm" sample --weights "$out/run" --device "$device" --count $many --block $many --out "$out/many.npy" 2>&1) && exit 1
    echo "$said" | tail -n 3
    echo "$said" | grep -q block
    ;;
*)
    echo "PARTS: no part $SRM_PART" >&2
    exit 2
    ;;
esac
