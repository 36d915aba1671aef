# Shared by demo.sh and demo-stop.sh, which source it.
# shellcheck shell=bash disable=SC2034

# DEMO is the name of the containerd namespace, the cgroup and the two directories.
demo=${DEMO:-ssr-demo}
if [[ ! $demo =~ ^[a-z][a-z0-9-]{0,30}$ ]]; then
  echo "demo: DEMO=$demo: expected at most 31 lowercase letters, digits and hyphens, starting with a letter" >&2
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

# Containers need root: continues as root if sudo is installed.
become_root() {
  [[ $EUID -eq 0 ]] && return
  command -v sudo >/dev/null || die "containers need root: run this as root, or install sudo"
  exec sudo --preserve-env=PATH,PORT,DEMO,SSR_SNAPSHOTTER "$0" "$@"
}

demo_ctr() { command ctr --address "$socket" --namespace "$demo" "$@"; }

# task_status: prints RUNNING, STOPPED, or nothing if there is no task.
task_status() {
  demo_ctr task ls 2>/dev/null | awk -v id="$container" '$1 == id { print $3 }'
}

# demo_processes: prints the ids of all processes whose command line contains the
# demo's directory: containerd has it in --config, ctr and the shims in --address.
# Containers end with containerd's PID namespace.
demo_processes() {
  local file pid
  for file in /proc/[0-9]*/cmdline; do
    pid=${file#/proc/}
    pid=${pid%/cmdline}
    [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
    if tr '\0' ' ' <"$file" 2>/dev/null | grep -qF -e "$run_dir/"; then echo "$pid"; fi
  done 2>/dev/null
}
