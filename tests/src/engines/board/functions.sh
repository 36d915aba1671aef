# What the scripts of the tests have in common.
set -e

# start IMAGE ID PORT [OPTION...]: a site's container, whose output is in /tmp/ID.log.
start() {
  image=$1 id=$2 port=$3
  shift 3
  ctr run --detach --runtime io.containerd.ssr.v1 --net-host --log-uri "file:///tmp/$id.log" \
    --env "SSR_LISTEN=127.0.0.1:$port" "$@" "$image" "$id"
}

# status ID: as `ctr task ls` shows it.
status() { ctr task ls | awk -v id="$1" '$1 == id { print $3 }'; }

# stopped ID: waits until it is.
stopped() {
  for _ in $(seq 300); do
    if [ "$(status "$1")" = STOPPED ]; then return; fi
    sleep 0.2
  done
  echo "$1 is $(status "$1")" >&2
  return 1
}

# remove ID: deletes a stopped container, and prints its exit code.
remove() {
  ctr task delete "$1" 2>&1 | sed -n 's/.*exit with non-zero exit code \([0-9]*\).*/\1/p' | grep . || echo 0
  ctr container delete "$1"
}

# stop ID: SIGTERM, and prints the exit code.
stop() {
  ctr task kill -s SIGTERM "$1"
  stopped "$1"
  remove "$1"
}

# clean: nothing of an earlier test runs.
clean() {
  killall -q supervise ask ssr || true
  ctr task ls -q | while read -r id; do ctr task delete --force "$id"; done
  ctr container ls -q | while read -r id; do ctr container delete "$id"; done
  for _ in $(seq 150); do
    if [ -z "$(ours)" ]; then return 0; fi
    sleep 0.2
  done
  ps >&2
  return 1
}

# now: seconds since the start.
now() { cut -d ' ' -f 1 /proc/uptime; }

# ours: the processes of the shims and the servers.
ours() {
  for process in /proc/[0-9]*; do
    case $(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) in
      *containerd-shim-ssr-v1\ * | ssr:\ serve\ * | ssr\ serve\ *) echo "${process#/proc/}" ;;
    esac
  done
}

# pss: the proportional set size of all of them, in KiB.
pss() {
  for pid in $(ours); do cat "/proc/$pid/smaps_rollup"; done | awk '/^Pss:/ { sum += $2 } END { print sum }'
}

# left: what containers may leave behind: mounts, cgroups, processes and files.
left() {
  cat /proc/mounts
  find /sys/fs/cgroup -type d
  find /run /var/lib/containerd/io.containerd.runtime.v2.task /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots \
    -maxdepth 3 2>/dev/null
  for process in /proc/[0-9]*; do
    command=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)
    # Those of this script come and go.
    case $command in '' | *"/tmp/script"* | find\ * | sort\ *) ;; *) echo "process $command" ;; esac
  done
}
