#!/usr/bin/env bash
# Stops what demo.sh started and removes all of it: processes, mounts, cgroups and
# files. Works as well when the demo runs only in part, or not at all.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/demo-common.sh
source scripts/demo-common.sh
become_root "$@"

# The server drains in-flight requests before it exits.
stop_site() {
  [[ -S $socket && $(task_status) == RUNNING ]] || return 0
  demo_ctr task kill --signal SIGTERM "$container" || return 0
  local end=$((SECONDS + 15))
  while [[ $(task_status) == RUNNING ]] && ((SECONDS < end)); do sleep 0.1; done
  demo_ctr task rm "$container" >/dev/null 2>&1 || true
  demo_ctr container rm "$container" >/dev/null 2>&1 || true
}

stop_processes() {
  local pids end=$((SECONDS + 30))
  while mapfile -t pids < <(demo_processes) && ((${#pids[@]} > 0)); do
    ((SECONDS < end)) || die "these processes do not exit: ${pids[*]}"
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.1
  done
}

# The demo's mounts are in a namespace that ends with its processes. This is for mounts
# that were made outside of it.
remove_mounts() {
  local target
  awk -v a="$run_dir/" -v b="$lib_dir/" 'index($5, a) == 1 || index($5, b) == 1 { print $5 }' /proc/self/mountinfo |
    sort -r | while read -r target; do umount --lazy "$target"; done
}

remove_cgroups() {
  local end=$((SECONDS + 30))
  while find /sys/fs/cgroup -depth -type d -path "*/$demo*" \( -name "$demo" -o -path "*/$demo/*" \) \
    -exec rmdir --ignore-fail-on-non-empty {} + 2>/dev/null &&
    [[ -n $(find /sys/fs/cgroup -type d -name "$demo" -print -quit 2>/dev/null) ]]; do
    ((SECONDS < end)) || die "cannot remove the cgroups named $demo"
    sleep 0.2
  done
}

stop_site
stop_processes
remove_mounts
remove_cgroups
rm -rf --one-file-system "$run_dir" "$lib_dir"
say "stopped"
