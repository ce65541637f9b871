#!/usr/bin/env bash
# moebius-gpu-check [FOLDER]: all that this tree can show on the machine's GPUs. Prints one row for
# each command, in the form of RESULTS.md; what the commands say goes to FOLDER (gpu-check). The
# bench's tables are FOLDER/operators.log and FOLDER/moves.md. LIMIT: seconds a command may take
# (600), ONLY: a pattern of the rows to run. Exit 1 if a row failed, 2 where there is no GPU.
set -uo pipefail
bin=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
folder=${1:-gpu-check}
gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
if [ "$gpus" -eq 0 ]; then
  echo "moebius-gpu-check: nvidia-smi lists no GPU here: run it where one and its driver are" >&2
  exit 2
fi
mkdir -p "$folder"
jobs=$(($(nproc) < 12 ? $(nproc) : 12))
commit=$("$bin/moebius" --version | sed -n 's/.*(commit \(.*\))/\1/p')
failed=0

# row NAME COMMAND…: the last line that counts something is what was seen.
row() {
  local name=$1 begin=$SECONDS seen code
  shift
  if [[ ! $name =~ ${ONLY:-.} ]]; then return; fi
  timeout -k 15 "${LIMIT:-600}" "$bin/$1" "${@:2}" >"$folder/$name.log" 2>&1
  code=$?
  seen=$(grep -E 'passed|All tests|test cases|operators on|is loaded' "$folder/$name.log" |
    tail -n 1)
  # The runtime may refuse a GPU that nvidia-smi lists: then nothing was compared.
  if grep -q '^SKIP no device' "$folder/$name.log"; then code="1 (no device)"; fi
  case $code in
    0) ;;
    124 | 137) seen="not finished in ${LIMIT:-600} s; ${seen}" ;;
    *) seen="**exit $code** ${seen}" ;;
  esac
  if [ "$code" != 0 ]; then failed=1; fi
  echo "| $commit | \`$*\` | $seen, $((SECONDS - begin)) s |"
}

# lost NAME SIGNAL AFTER COMMAND…: rank 1 of the command's two gets the signal so many seconds after
# its process is there. The other is to end with exit 3 and words, soon. A run's does so by itself;
# a bench's may wait in a bare call until whoever started it ends it.
lost() {
  local name=$1 signal=$2 after=$3 victim="" begin code said
  shift 3
  if [[ ! $name =~ ${ONLY:-.} ]]; then return; fi
  timeout -k 15 "$((after + 60))" "$bin/$1" "${@:2}" >"$folder/$name.log" 2>&1 &
  local job=$!
  for _ in $(seq 300); do
    victim=$(pgrep -f "moebius (rank .*--rank 1|bench-rank .* 2)\$" | head -n 1)
    if [ -n "$victim" ]; then break; fi
    sleep 0.1
  done
  sleep "$after"
  begin=$SECONDS
  if ! kill "-$signal" "$victim"; then echo "no rank 1 to be lost" >>"$folder/$name.log"; fi
  wait "$job"
  code=$?
  kill -KILL "$victim" 2>/dev/null
  said=$(grep -E 'rank 0: |bench, rank' "$folder/$name.log" | head -n 1 | sed 's/^ *//')
  if [ "$code" != 3 ] || [[ $said =~ rank\ 0\ \(process ]] || [ -z "$said" ]; then
    said="**exit $code** $said"
    failed=1
  fi
  echo "| $commit | \`$*\`, rank 1 gets SIG$signal | $said, $((SECONDS - begin)) s |"
}

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | sed 's/^/GPU: /'
echo
echo "| commit | command | seen |"
echo "|---|---|---|"
gpu=(--device cuda --require cuda --deadline 30000)
row device moe_tests_device
row kernels moe_tests_unit_kernels
row conformance moe_tests_conformance
row required moebius run --require cuda,nccl --jobs "$jobs"
row local moebius run "${gpu[@]}" --communicator local --ranks threads --jobs "$jobs"
row late-local moebius run gpu/eight-ranks "${gpu[@]}" --communicator local --line 0 \
  --repeat 1000 --delay 1 --jobs "$jobs" --quiet
row operators moebius bench --operators --device cuda --iterations 20
if [ "$gpus" -ge 2 ]; then
  row nccl-threads moebius run "${gpu[@]}" --communicator nccl --ranks threads --jobs 4
  row late-nccl moebius run gpu/nccl-two-ranks "${gpu[@]}" --line 0 --repeat 1000 --delay 1 \
    --jobs 4 --quiet
  row moves moebius bench --device cuda --only moves --shape mixtral,qwen3,deepseek-v3 \
    --tokens 128,4096 --iterations 200 --results "$folder/moves.md"
  slow=(run gpu/nccl-two-ranks --device cuda --communicator nccl --ranks processes --delay 400
    --deadline 3000)
  # Another backend each, and another moment: early, in the middle, at the end.
  for turn in 1 2 3; do
    lost "killed-$turn" KILL "$((3 * turn))" moebius "${slow[@]}" --line "$turn"
    lost "stopped-$turn" STOP "$((3 * turn))" moebius "${slow[@]}" --line "$turn"
  done
  moves=(bench --device cuda --only moves --ranks processes --shape mixtral --tokens 128
    --iterations 400000 --deadline 3000)
  for turn in 1 2 3; do
    lost "bench-killed-$turn" KILL 8 moebius "${moves[@]}"
    lost "bench-stopped-$turn" STOP 8 moebius "${moves[@]}"
  done
  row nccl-processes moebius run "${gpu[@]}" --communicator nccl --ranks processes --jobs 6
fi
exit "$failed"
