#!/usr/bin/env bash
# Runs a site as a container under a private containerd, apart from any other:
#
#   PORT=8080 scripts/demo.sh [IMAGE.tar]
#
# The default image is target/image/site.tar.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/demo-common.sh
source scripts/demo-common.sh
become_root "$@"

image=${1:-target/image/site.tar}
port=${PORT:-8080}
url=http://localhost:$port/
shim_dir=$PWD/target/release

check() {
  if [[ ! $port =~ ^[0-9]{1,5}$ ]] || ((10#$port < 1 || 10#$port > 65535)); then
    die "PORT=$port: expected a number from 1 to 65535"
  fi
  [[ -f $image ]] || die "there is no $image: run make image first"
  [[ -x $shim_dir/containerd-shim-ssr-v1 ]] || die "there is no $shim_dir/containerd-shim-ssr-v1: run make build first"
  for tool in containerd ctr unshare curl; do
    command -v "$tool" >/dev/null || die "$tool is missing: run scripts/setup.sh containerd"
  done
}

# Called after a demo that was running is stopped, which frees its port.
check_port() {
  if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    die "port $port is taken: stop what listens there, or choose another port: make demo PORT=8081"
  fi
}

start_containerd() {
  mkdir -p "$run_dir" "$lib_dir"
  cat >"$config" <<TOML
version = 2
root = "$lib_dir/containerd"
state = "$run_dir/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "$socket"
TOML
  # In private namespaces: its mounts are visible to no one else, and all processes
  # end with the first one, whatever happens.
  # shellcheck disable=SC2016
  PATH=$shim_dir:$PATH:/usr/sbin:/sbin setsid unshare --mount --propagation=private \
    --pid --fork --mount-proc --kill-child bash -c '
      for private in /run/containerd/s /run/containerd/ssr; do
        mkdir -p "$private" && mount -t tmpfs tmpfs "$private" || exit 1
      done
      containerd --config "$0" &
      wait' "$config" </dev/null >"$containerd_log" 2>&1 &
  disown
  wait_until 30 demo_ctr version || {
    cat "$containerd_log" >&2
    die "containerd does not answer"
  }
}

# wait_until SECONDS COMMAND...: repeats the command; fails if it does not succeed in time.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

# Not every file system can hold the layers of an overlay; copies work on all.
snapshotter() {
  local ok
  ok=$(demo_ctr plugins ls | awk '$1 ~ /snapshotter/ && $2 == "overlayfs" { print $NF }')
  if [[ -n ${SSR_SNAPSHOTTER:-} ]]; then echo "$SSR_SNAPSHOTTER"; elif [[ $ok == ok ]]; then echo overlayfs; else echo native; fi
}

run_site() {
  local name snapshotter
  snapshotter=$(snapshotter)
  demo_ctr image import --platform wasi/wasm --snapshotter "$snapshotter" "$image" >&2
  name=$(demo_ctr image ls -q | head -n 1)
  [[ -n $name ]] || die "$image contains no image for wasi/wasm"
  # Not `--detach --log-uri`, which needs a task service that supports such URIs; that of
  # containerd-shim-wasm loses the output. This way ctr copies it.
  setsid ctr --address "$socket" --namespace "$demo" run --rm \
    --snapshotter "$snapshotter" --runtime io.containerd.ssr.v1 \
    --net-host --env "SSR_LISTEN=0.0.0.0:$port" \
    "$name" "$container" </dev/null >"$site_log" 2>&1 &
  ctr_pid=$!
  disown
}

answers() { curl --silent --fail --max-time 10 --output /dev/null "$url"; }

answers_or_stopped() { answers || ! kill -0 "$ctr_pid" 2>/dev/null; }

show_failure() {
  say "output of the container:"
  cat "$site_log" >&2
  die "$1"
}

check
if [[ -e $run_dir || -e $lib_dir ]]; then
  scripts/demo-stop.sh
fi
check_port
# If anything fails from here on, everything is removed.
# shellcheck disable=SC2154
trap 'code=$?; ((code == 0)) || scripts/demo-stop.sh; exit "$code"' EXIT
trap 'exit 130' INT TERM
say "starting containerd"
start_containerd
say "running $image"
run_site
wait_until 120 answers_or_stopped || show_failure "the site does not answer at $url"
answers || show_failure "the site stopped before it answered"

cat <<TEXT

  Site:       $url
  Log:        tail -f $site_log
  Container:  ctr -a $socket -n $demo task ls
  Stop:       make demo-stop

TEXT
