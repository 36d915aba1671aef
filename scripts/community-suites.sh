#!/usr/bin/env bash
# Runs containerd's own integration tests, from Debian's sources of it, with runc as the
# default runtime and then with ours, and compares:
#
#   scripts/community-suites.sh [client|cri]... [-- TEST-FLAG...]
#
# `client` is integration/client, which asks containerd as ctr and nerdctl do; `cri` is
# integration, which asks as a kubelet does. What follows `--` goes to the tests' binary,
# for example -test.run Pids. Results and logs are left in target/community. The exit code
# says whether some test passes with runc and fails with ours.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "community-suites: $*" >&2; }
die() {
  say "$*"
  exit 1
}

release=forky-go
results=$PWD/target/community
pause=registry.k8s.io/pause:3.10
sources=github.com/containerd/containerd/v2
declare -A packages=([client]=integration/client [cri]=integration)
# Not run: what needs images of Windows, of other processors, of nginx and of Kubernetes'
# e2e tests, or older releases of containerd; shims and network plugins that fail on
# purpose, which would replace the runtime under test; and, of BindLowPort, the one that
# never ends with Debian's busybox.
unavailable='ArgsEscaped|AllPlatforms|SomePlatforms|Upgrade|Failpoint|BindLowPortNonOpt'
unavailable+='|ImageLoad|RunPodSandbox|SandboxRemoveWithoutIP|SandboxStopWithNil|RestartSandboxRecover|Issue7496|ConsumedStats'
# How long the tests may take together. If they take longer, one hangs: it is recorded, and
# those that have not run yet are run again.
suite_timeout=400

# build: compiles the suites. Go finds all that they import below /usr/share/gocode.
build() {
  local suite
  for suite in "$@"; do
    say "compiling ${packages[$suite]}"
    GOROOT=/usr/lib/go GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS=-p=2 GOCACHE=/tmp/go CGO_ENABLED=1 \
      nice go test -c -o "$results/$suite.test" "$sources/${packages[$suite]}"
  done
  # A runc that fails on purpose, which some tests ask for by name.
  GOROOT=/usr/lib/go GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=/tmp/go CGO_ENABLED=1 \
    nice go build -o "$results/bin/runc-fp" "$sources/integration/failpoint/cmd/runc-fp"
}

# make_image FILE NAME COMMAND ROOT...: writes an image whose layers are the given directories.
make_image() {
  local file=$1 name=$2 command=$3 layout
  shift 3
  layout=$(mktemp -d)
  local blobs=$layout/blobs/sha256 layers=() diffs=() root
  mkdir -p "$blobs"
  # blob FILE: stores it and sets `digest` and `size`.
  blob() {
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    size=$(stat -c %s "$1")
    mv "$1" "$blobs/$digest"
  }
  local digest size
  for root in "$@"; do
    tar -C "$root" -cf "$layout/layer.tar" .
    diffs+=("\"sha256:$(sha256sum "$layout/layer.tar" | cut -d' ' -f1)\"")
    gzip -n "$layout/layer.tar"
    blob "$layout/layer.tar.gz"
    layers+=("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:$digest\",\"size\":$size}")
  done
  local IFS=,
  echo "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"PATH=/bin:/usr/bin:/sbin:/usr/sbin\"],$command},\
\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[${diffs[*]}]}}" >"$layout/config"
  blob "$layout/config"
  local media=application/vnd.oci.image.config.v1+json
  echo "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
\"config\":{\"mediaType\":\"$media\",\"digest\":\"sha256:$digest\",\"size\":$size},\"layers\":[${layers[*]}]}" >"$layout/manifest"
  blob "$layout/manifest"
  echo "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
\"digest\":\"sha256:$digest\",\"size\":$size,\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"},\
\"annotations\":{\"io.containerd.image.name\":\"$name\"}}]}" >"$layout/index.json"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  tar -C "$layout" -cf "$file" oci-layout index.json blobs
  rm -r "$layout"
}

# make_images: equivalents of those that the tests pull, made from Debian's busybox.
make_images() {
  local base=/tmp/roots/base name
  mkdir -p "$base"/{bin,dev,etc,home,proc,root,sys,tmp,usr/bin,usr/sbin,sbin,var}
  chmod 1777 "$base/tmp"
  cp /bin/busybox "$base/bin"
  for name in $(busybox --list); do
    [[ $name == busybox ]] || ln -s busybox "$base/bin/$name"
  done
  printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1::/:/bin/false bin:x:2:2::/:/bin/false \
    sys:x:3:3::/:/bin/false sync:x:4:100::/:/bin/sync mail:x:8:8::/:/bin/false www-data:x:33:33::/:/bin/false \
    nobody:x:65534:65534::/:/bin/false >"$base/etc/passwd"
  printf '%s\n' root:x:0: daemon:x:1: bin:x:2: sys:x:3: adm:x:4: tty:x:5: mail:x:8: www-data:x:33: users:x:100: \
    nogroup:x:65534: >"$base/etc/group"
  mkdir -p /tmp/roots/copy/{test_dir,:colon_prefix,C:} /tmp/roots/owned/test_dir
  for name in test_dir :colon_prefix C:; do echo test_content >"/tmp/roots/copy/$name/test_file"; done
  chown 65534:65534 /tmp/roots/owned/test_dir
  serve_registry
  start_containerd /tmp/images.toml
  publish ghcr.io/containerd/busybox:1.36 '"Cmd":["sh"]' "$base"
  publish ghcr.io/containerd/alpine:3.14.0 '"Cmd":["sh"]' "$base"
  publish "$pause" '"Entrypoint":["/bin/sleep","1000000"]' "$base"
  publish ghcr.io/containerd/volume-copy-up:2.2 \
    '"Cmd":["sh"],"Volumes":{"/test_dir":{},"/:colon_prefix":{},"/C:":{}}' "$base" /tmp/roots/copy
  publish ghcr.io/containerd/volume-ownership:2.1 \
    '"Cmd":["sh"],"User":"65534:65534","Volumes":{"/test_dir":{}}' "$base" /tmp/roots/owned
  stop_containerd
}

# publish NAME COMMAND ROOT...: makes an image and pushes it to the registry of its name.
publish() {
  make_image /tmp/image.tar "$@"
  ctr image import /tmp/image.tar >/dev/null
  ctr image push "$1" >/dev/null
}

# serve_registry: answers for the registries that the tests pull from, whose names they
# have built in, on the loopback address of these namespaces.
serve_registry() {
  local names=DNS:ghcr.io,DNS:registry.k8s.io
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=registry -addext "subjectAltName=$names" \
    -keyout /tmp/registry.key -out /tmp/registry.crt 2>/dev/null
  export SSL_CERT_FILE=/tmp/registry.crt
  echo "127.0.0.1 localhost ghcr.io registry.k8s.io" >>/etc/hosts
  cat >/tmp/registry.yml <<'YML'
version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: /tmp/registry }, delete: { enabled: true } }
http: { addr: "127.0.0.1:443", secret: none, tls: { certificate: /tmp/registry.crt, key: /tmp/registry.key } }
YML
  docker-registry serve /tmp/registry.yml >/tmp/registry.log 2>&1 &
}

# start_containerd CONFIG: starts it, and starts it again if a test ends it.
start_containerd() {
  local config=$1
  [[ -e $config ]] || echo 'version = 2' >"$config"
  (
    trap 'kill "$child" 2>/dev/null; exit' TERM
    while :; do
      containerd --config "$config" >>"$config.log" 2>&1 &
      child=$!
      wait "$child" || true
    done
  ) &
  keeper=$!
  local attempt
  for ((attempt = 0; attempt < 100; attempt++)); do
    ctr version >/dev/null 2>&1 && return
    sleep 0.2
  done
  tail -n 20 "$config.log" >&2
  die "containerd does not answer"
}

stop_containerd() {
  kill "$keeper"
  wait "$keeper" 2>/dev/null || true
}

# cri_config RUNTIME: the configuration of a containerd for CRI whose default it is.
cri_config() {
  mkdir -p /etc/cni/net.d
  cat >/etc/cni/net.d/10-bridge.conflist <<'CNI'
{ "cniVersion": "1.0.0", "name": "pods", "plugins": [
  { "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "promiscMode": true,
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/16" }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }
CNI
  cat <<CONFIG
version = 3
disabled_plugins = ["io.containerd.nri.v1.nri"]
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "$pause"
[plugins."io.containerd.cri.v1.runtime"]
  # In many containers and virtual machines root lacks CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "tested"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.tested]
  runtime_type = "$1"
CONFIG
}

# names_of RESULT LOG: the tests that ended so.
names_of() { sed -nE "s/^ *--- $1: ([^ ]+) .*/\\1/p" "$2"; }

# run_suite SUITE RUNTIME FLAG...: runs all tests once and writes "NAME RESULT" lines. A test
# that hangs ends Go's test binary: the tests that have not run yet are run by another.
run_suite() {
  local suite=$1 runtime=$2 name=${2%.v?} log round skip
  name=${name##*.}
  log=$results/$suite-$name.log
  shift 2
  local flags=(-test.v -test.parallel 2 "-test.timeout=${suite_timeout}s")
  case $suite in
    client) flags+=(-test.root -no-criu) ;;
    cri)
      cri_config "$runtime" >"/tmp/cri-$name.toml"
      start_containerd "/tmp/cri-$name.toml"
      ;;
  esac
  say "running $suite with $runtime"
  : >"$log"
  : >"$results/$suite-$name.hung"
  for ((round = 0; round < 12; round++)); do
    skip=$( (echo "$unavailable" && { names_of '[A-Z]+' "$log" && cat "$results/$suite-$name.hung"; } |
      sed 's,/.*,,' | sort -u | sed 's/.*/^&$/') | paste -sd '|')
    (cd /tmp && TEST_RUNTIME=$runtime timeout -k 5 1500 "$results/$suite.test" "${flags[@]}" "-test.skip=$skip" "$@") \
      >"$log.part" 2>&1 </dev/null || true
    cat "$log.part" >>"$log"
    grep -q '^panic: test timed out' "$log.part" || break
    # The panic lists the tests that were running.
    sed -nE '/^\trunning tests:/,/^$/s/^\t\t(Test[^ ]+) .*/\1/p' "$log.part" >>"$results/$suite-$name.hung"
    reset_machine "$suite"
  done
  [[ $suite != cri ]] || stop_containerd
  reset_machine client
  {
    names_of PASS "$log" | sed 's/$/ passed/'
    names_of FAIL "$log" | sed 's/$/ FAILED/'
    names_of SKIP "$log" | sed 's/$/ skipped/'
    sed 's/$/ HUNG/' "$results/$suite-$name.hung"
  } | sort -u -k 1,1 >"$results/$suite-$name.results"
  rm -f "$log.part"
}

# reset_machine SUITE: ends what a suite has left running.
reset_machine() {
  local status name
  # The first process of these namespaces: what is found below is the suites' own.
  tr '\0' ' ' </proc/1/cmdline | grep -q in-debian.sh || die "this is not the PID namespace of in-debian.sh"
  for status in /proc/[0-9]*/status; do
    name=$(awk '/^Name:/ { print $2 }' "$status" 2>/dev/null) || continue
    if [[ $name == containerd-shim* || ($name == containerd && $1 != cri) ]]; then
      kill -KILL "$(cut -d/ -f3 <<<"$status")" 2>/dev/null || true
    fi
  done
  sleep 1
  awk '$2 ~ "^/(run/containerd|run/netns|var/lib/containerd-test)" { print $2 }' /proc/mounts | sort -r |
    grep -vx /var/lib/containerd-test | xargs -r umount -l 2>/dev/null || true
  rm -rf /run/containerd-test /var/lib/containerd-test/*
}

# inside SUITE... [-- FLAG...]: what runs in the Debian release.
inside() {
  local suites=() suite
  while [[ $# -gt 0 && $1 != -- ]]; do
    suites+=("$1")
    shift
  done
  [[ $# -eq 0 ]] || shift
  export PATH=$PWD/target/release:$results/bin:$PATH
  for suite in "${suites[@]}"; do
    [[ -x $results/$suite.test && -x $results/bin/runc-fp ]] || build "$suite"
  done
  # overlayfs cannot lie on another overlay, which this release is.
  mkdir -p /var/lib/containerd-test && mount -t tmpfs tmpfs /var/lib/containerd-test
  make_images
  for suite in "${suites[@]}"; do
    run_suite "$suite" io.containerd.runc.v2 "$@"
    run_suite "$suite" io.containerd.ssr.v1 "$@"
  done
}

# cgroups: the directories of the cgroups that the suites may make; both kernels' versions.
cgroups() {
  find /sys/fs/cgroup -mindepth 1 -type d -path '*/*' 2>/dev/null |
    grep -E '^/sys/fs/cgroup(/[a-z_,=]+)?/(testing[^/]*|k8s\.io|containerd|containerd-test[^/]*)(/|$)' | sort || true
}

# compare SUITE: prints the results side by side; fails if ours are worse.
compare() {
  local runc=$results/$1-runc.results ours=$results/$1-ssr.results
  echo "== $1: ${packages[$1]} of containerd $(cat "$results/version")"
  join -a 1 -a 2 -e absent -t ' ' -o 0,1.2,2.2 "$runc" "$ours" |
    awk '{ printf "%-72s %-9s %-9s%s\n", $1, $2, $3, $2 == $3 ? "" : " <" }' | tee "$results/$1.txt"
  for file in "$runc" "$ours"; do
    echo "-- $(basename "$file" .results): $(cut -d' ' -f2 "$file" | sort | uniq -c | awk '{ printf "%s %s, ", $1, $2 }')"
  done
  echo "-- differences:"
  grep ' <$' "$results/$1.txt" || echo none
  ! grep -E ' passed +(FAILED|HUNG|absent)' "$results/$1.txt" >/dev/null
}

suites=()
while [[ $# -gt 0 && $1 != -- ]]; do
  [[ -n ${packages[$1]:-} ]] || die "usage: scripts/community-suites.sh [client|cri]... [-- TEST-FLAG...]"
  suites+=("$1")
  shift
done
[[ ${#suites[@]} -gt 0 ]] || suites=(client cri)
if [[ ${SSR_DEBIAN_RELEASE:-} == "$release" ]]; then
  inside "${suites[@]}" "$@"
  exit
fi
[[ -x target/release/containerd-shim-ssr-v1 ]] || die "run make build first"
mkdir -p "$results"
scripts/in-debian.sh "$release" containerd --version | cut -d' ' -f3 >"$results/version"
cgroups >"$results/cgroups"
code=0
scripts/in-debian.sh "$release" "$0" "${suites[@]}" "$@" || code=$?
# Some tests leave their cgroups, which the namespaces do not end. Those in use stay.
cgroups | comm -13 "$results/cgroups" - | sort -r | xargs -r rmdir --ignore-fail-on-non-empty 2>/dev/null || true
[[ $code == 0 ]] || exit "$code"
worse=0
for suite in "${suites[@]}"; do compare "$suite" || worse=1; done
exit "$worse"
