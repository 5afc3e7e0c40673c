#!/usr/bin/env bash
# Train on two ranks in network namespaces of their own, over TCP; cut the link in the middle; go on from the last checkpoint.
# Checks that the bits are those of one process each time, and that the cut ends the job with a message within 60 s.
#
#   sudo scripts/cut_link.sh target/debug/srm        # built with --features mpi; Debian: openmpi-bin iproute2
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
srm=$(realpath "${1:?give the srm binary that was built with --features mpi}")
place=$(mktemp -d)
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

clean_up() {
    pkill -9 -f "$place" || true
    ip netns del srm0 2>/dev/null || true
    ip netns del srm1 2>/dev/null || true
    rm -rf "$place"
}
trap clean_up EXIT
ip netns add srm0
ip netns add srm1
ip link add srm_a netns srm0 type veth peer name srm_b netns srm1
for i in 0 1; do
    device=$([ $i = 0 ] && echo srm_a || echo srm_b)
    ip -n srm$i addr add 10.77.0.$((i + 1))/24 dev "$device"
    ip -n srm$i link set lo up
    ip -n srm$i link set "$device" up
done

# How mpirun reaches the other "machine": called as HOST COMMAND…
printf '#!/bin/sh\nshift\nexec ip netns exec srm1 unshare --uts sh -c "hostname srm1; $*"\n' >"$place/agent"
chmod +x "$place/agent"

settings=(--config configs/smoke.json --set train.batch=24 --set checkpoint.every=5 --set log.every=1 --threads 1)
two() {
    ip netns exec srm0 unshare --uts sh -c 'hostname srm0; exec "$@"' sh \
        mpirun --mca plm_rsh_agent "$place/agent" --host 10.77.0.1,10.77.0.2 -n 2 --bind-to none --mca btl tcp,self \
        --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
        --mca oob_tcp_keepalive_time 10 --mca oob_tcp_keepalive_intvl 5 --mca oob_tcp_keepalive_probes 3 "$srm" train "${settings[@]}" "$@"
}
same() {
    cmp "$place/one/checkpoints/$1/weights.safetensors" "$place/two/checkpoints/$1/weights.safetensors"
    cmp "$place/one/checkpoints/$1/optimizer.safetensors" "$place/two/checkpoints/$1/optimizer.safetensors"
}

two --set train.updates=20 --run "$place/two" >"$place/log" 2>&1
"$srm" train "${settings[@]}" --set train.updates=20 --run "$place/one" >/dev/null 2>&1
same 000020
echo "20 updates over TCP: the bits of one process"

two --set train.updates=150 --run "$place/two" --resume >"$place/log" 2>&1 &
job=$!
until [ "$(wc -l <"$place/two/metrics.jsonl")" -gt 50 ]; do sleep 0.1; done
ip -n srm0 link set srm_a down
begun=$SECONDS
wait $job && { echo "the job did not notice that its link was cut"; exit 1; }
seconds=$((SECONDS - begun))
grep -aE "no word from |lost communication with a remote daemon" "$place/log" || { tail -n 20 "$place/log"; exit 1; }
[ $seconds -le 60 ] || { echo "it took $seconds s"; exit 1; }
echo "the cut link ended the job after $seconds s"
# the far side notices by itself
until ! pgrep -f "$srm train.*$place" >/dev/null; do
    [ $((SECONDS - begun)) -le 75 ] || { echo "a rank is left over"; exit 1; }
    sleep 1
done

ip -n srm0 link set srm_a up
two --set train.updates=150 --run "$place/two" --resume >"$place/log" 2>&1
"$srm" train "${settings[@]}" --set train.updates=150 --run "$place/one" --resume >/dev/null 2>&1
same 000150
echo "150 updates with the cut in between: the bits of one process"
