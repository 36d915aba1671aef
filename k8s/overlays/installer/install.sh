#!/bin/sh
# Installs the shim on the node that this pod runs on, and labels the node when it is ready.
# When somebody removes the label, the pod is ended, and takes the shim away again. It
# leaves it there if it is ended for another reason, such as an update or a reboot.
set -eu

label=containerd-shim-ssr
# The program; ssr is another name of it.
shim=containerd-shim-ssr-v1
bin=/host/usr/local/bin

# In the node's own namespaces: ssr asks the engine for its version, and restarts it.
on_node() { nsenter --target 1 --mount --uts --ipc --net --pid -- "$@"; }

# The engine that kubelet uses: the one whose service runs. Docker, if it is there, is not
# touched.
engine() {
  for pair in k3s:k3s k3s:k3s-agent rke2:rke2-server rke2:rke2-agent microk8s:snap.microk8s.daemon-containerd \
    containerd:containerd; do
    if on_node systemctl is-active --quiet "${pair#*:}"; then
      echo "${pair%%:*}"
      return
    fi
  done
  echo "$NODE runs none of k3s, RKE2, microk8s and containerd as a service of systemd: see docs/node.md" >&2
  return 1
}

# The label's value, empty if the node has none. Fails if the cluster does not answer.
state() { kubectl get node "$NODE" --output "jsonpath={.metadata.labels.$label}"; }

leave() {
  trap - TERM INT
  if ! now=$(state); then
    echo "the shim stays: the cluster does not say whether $NODE still has the label $label"
  elif [ -n "$now" ]; then
    echo "the shim stays: $NODE still has the label $label"
  else
    on_node /usr/local/bin/ssr node remove --engine "$engine" --restart
    rm -f "$bin/$shim" "$bin/ssr"
  fi
  exit
}

engine=$(engine)
trap leave TERM INT
mkdir -p "$bin"
# Replaced as a whole: the old file may be running.
cp "$(command -v "$shim")" "$bin/.$shim.new"
mv "$bin/.$shim.new" "$bin/$shim"
ln -sf "$shim" "$bin/ssr"
on_node /usr/local/bin/ssr node install --engine "$engine" --restart
on_node /usr/local/bin/ssr node check --engine "$engine"
kubectl label --overwrite node "$NODE" "$label=ready"
touch /tmp/ready
# A trap runs when the command that it interrupts has ended: so this one is waited for.
sleep infinity &
wait
