#!/usr/bin/env bash
# Builds a Kubernetes for the tests and prints the directory of its binaries: etcd, and
# kubelet, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy and kubectl of
# Debian 12's source package.
#
# The build takes six minutes and 2 GB, once.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "kubernetes: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# The last release of Debian whose source package has more than kubectl.
suite=bookworm
version=v1.20.2
cache=$PWD/.cache/kubernetes
bin=$cache/bin
commands=(kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl)
work=$cache/build

fetch() {
  mkdir -p "$work"
  say "downloading Debian $suite's source package and etcd"
  scripts/debian-apt.sh "$work" "$suite" source --download-only kubernetes
  # Installed, etcd would be started.
  scripts/debian-apt.sh "$work" "$suite" download etcd-server
}

build() {
  local tree=$work/go/src/k8s.io/kubernetes flags='-s -w' package directories
  mkdir -p "$tree"
  tar --extract --file "$(ls "$work"/kubernetes_*.orig.tar.gz)" --directory "$tree" --strip-components=1
  dpkg-deb --extract "$work"/etcd-server_*.deb "$work/etcd"
  cd "$tree"
  export GOPATH=$work/go GOCACHE=$work/go-cache GO111MODULE=off CGO_ENABLED=0
  for package in component-base/version client-go/pkg/version; do
    package=k8s.io/kubernetes/vendor/k8s.io/$package
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=20"
  done

  # The only generated file that the package does not have: the schema that the apiserver
  # publishes.
  say "generating the schema"
  go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  # Below vendor, the packages are links.
  directories=$(grep -Rl --include='*.go' '+k8s:openapi-gen=' vendor/k8s.io/ pkg cmd |
    grep -v -e _test.go -e zz_generated -e /_examples/ -e /sample-apiserver/ -e /code-generator/ -e /kube-openapi/ |
    xargs -n1 dirname | sort -u | sed 's,^,k8s.io/kubernetes/,' | paste -sd,)
  "$work/openapi-gen" -O zz_generated.openapi -p k8s.io/kubernetes/pkg/generated/openapi \
    -h hack/boilerplate/boilerplate.generatego.txt -i "$directories" -r "$work/violations" \
    --output-base "$GOPATH/src"

  say "compiling ${commands[*]} (about six minutes)"
  nice go build -ldflags "$flags" -o "$work/bin/" "${commands[@]/#/./cmd/}"
  cp "$work/etcd/usr/bin/etcd" "$work/bin"
}

is_built() {
  local name
  for name in "${commands[@]}" etcd; do
    [[ -x $bin/$name ]] || return 1
  done
}

if ! is_built; then
  command -v go >/dev/null || die "go is missing: run scripts/setup.sh kubernetes"
  mkdir -p "$cache"
  rm -rf "$work" "$bin"
  fetch
  (build) >"$cache/build.log" 2>&1 || {
    tail -n 30 "$cache/build.log" >&2
    die "the build failed; its log is $cache/build.log"
  }
  mv "$work/bin" "$bin"
  rm -rf "$work"
fi
echo "$bin"
