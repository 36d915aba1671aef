#!/bin/sh
# Installs the shim on the node that this pod runs on, and labels the node when it is ready.
# When somebody removes the label, the pod is ended, and takes the shim away again. It
# leaves it there if it is ended for another reason, such as an update or a reboot.
set -eu

label=containerd-shim-ssr

# In the node's own namespaces: to restart containerd.
on_node() { nsenter --target 1 --mount --uts --ipc --net --pid -- "$@"; }

# restart: the service that containerd belongs to.
restart() {
  for service in k3s k3s-agent rke2-server rke2-agent containerd; do
    if on_node systemctl is-active --quiet "$service"; then
      echo "restarting $service"
      on_node systemctl restart "$service"
      return
    fi
  done
  echo "found no service to restart: restart containerd on $NODE yourself" >&2
  return 1
}

# state: the label's value, empty if the node has none. Fails if the cluster does not answer.
state() { kubectl get node "$NODE" --output "jsonpath={.metadata.labels.$label}"; }

leave() {
  trap - TERM INT
  if ! now=$(state); then
    echo "the shim stays: the cluster does not say whether $NODE still has the label $label"
  elif [ -n "$now" ]; then
    echo "the shim stays: $NODE still has the label $label"
  else
    ssr node remove --root /host
    restart
  fi
  exit
}

trap leave TERM INT
if ! ssr node check --root /host; then
  ssr node install --root /host
  restart
  ssr node check --root /host
fi
kubectl label --overwrite node "$NODE" "$label=ready"
touch /tmp/ready
# A trap runs when the command that it interrupts has ended: so this one is waited for.
sleep infinity &
wait
