# What demo.sh and demo-stop.sh agree on; read by them, not run.
# shellcheck shell=bash disable=SC2034

# DEMO names the containerd namespace, the cgroup and the two directories.
demo=${DEMO:-ssr-demo}
if [[ ! $demo =~ ^[a-z][a-z0-9-]{0,30}$ ]]; then
  echo "demo: DEMO=$demo: expected small letters, digits and -, at most 31" >&2
  exit 1
fi
run_dir=/run/$demo
lib_dir=/var/lib/$demo
config=$run_dir/config.toml
socket=$run_dir/containerd.sock
container=site
site_log=$lib_dir/site.log
containerd_log=$lib_dir/containerd.log

say() { echo "demo: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# Containers want root: go on as root where sudo is to be had.
become_root() {
  [[ $EUID -eq 0 ]] && return
  command -v sudo >/dev/null || die "containers need root: run this as root, or install sudo"
  exec sudo --preserve-env=PATH,PORT,DEMO,SSR_SNAPSHOTTER "$0" "$@"
}

demo_ctr() { command ctr --address "$socket" --namespace "$demo" "$@"; }

# task_status: RUNNING, STOPPED, or nothing where there is no task.
task_status() {
  demo_ctr task ls 2>/dev/null | awk -v id="$container" '$1 == id { print $3 }'
}

# demo_processes: ids of all processes that belong to the demo. All of them name
# its directory: containerd in --config, the shims (and the containers, which are
# forks of theirs) in --address.
demo_processes() {
  local file pid
  for file in /proc/[0-9]*/cmdline; do
    pid=${file#/proc/}
    pid=${pid%/cmdline}
    [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
    if tr '\0' ' ' <"$file" 2>/dev/null | grep -qF -e "$run_dir/"; then echo "$pid"; fi
  done 2>/dev/null
}
