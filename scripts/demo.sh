#!/usr/bin/env bash
# Runs the site in target/image/site.tar as a container, under a containerd of
# its own that touches no other: PORT=8080 scripts/demo.sh [IMAGE.tar]
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

# The ports of the demo that runs already are free once it is stopped.
check_port() {
  if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    die "port $port is taken: stop what listens there, or choose another: make demo PORT=8081"
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
  # In namespaces of its own: its mounts are nobody else's, and whatever
  # happens, the end of their first process is the end of all of them.
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

# wait_until SECONDS COMMAND...: false when it does not succeed in time.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

# Overlays cannot lie on every file system; copies can.
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
  [[ -n $name ]] || die "$image holds no image for wasi/wasm"
  # Not `--detach --log-uri`: the task service has to know such addresses, and
  # that of containerd-shim-wasm loses the output instead. ctr copies it.
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
  say "the container said:"
  cat "$site_log" >&2
  die "$1"
}

check
if [[ -e $run_dir || -e $lib_dir ]]; then
  scripts/demo-stop.sh
fi
check_port
# Whatever goes wrong from here on, nothing stays behind.
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

  The site is at  $url
  its log:        tail -f $site_log
  its container:  ctr -a $socket -n $demo task ls
  to stop it:     make demo-stop

TEXT
