# The init process of a node: a control plane, containerd and a kubelet in namespaces that
# end with it. A process that ends is started again, as systemd would.
#
#   node.sh DIRECTORY CGROUP
#
# The directory holds the configuration, and gets everything that is written: what the
# processes write to /run, /var/lib and /var/log is seen in this mount namespace only.
set -eu
directory=$1 cgroup=$2
address=10.90.0.1

mount -t tmpfs tmpfs /run
mkdir -p /run/containerd "$directory"/var/{upper,work} "$directory"/{logs,kubelet}
mount -t overlay -o "lowerdir=/var,upperdir=$directory/var/upper,workdir=$directory/var/work" overlay /var
# Volumes that kubelet mounts must reach containerd's shims.
mount --bind "$directory" "$directory"
mount --make-rshared "$directory"

# kubelet writes these, which are the machine's: it gets files that look like them.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
  kernel/keys/root_maxbytes; do
  mkdir -p "/run/settings/$setting"
  rmdir "/run/settings/$setting"
  cat "/proc/sys/$setting" >"/run/settings/$setting"
  mount --bind "/run/settings/$setting" "/proc/sys/$setting"
done

for controller in /sys/fs/cgroup/*/; do
  case $controller in
    */unified/) ;;
    */cpuset/)
      mkdir -p "$controller$cgroup"
      cat "${controller}cpuset.cpus" >"$controller$cgroup/cpuset.cpus"
      cat "${controller}cpuset.mems" >"$controller$cgroup/cpuset.mems"
      ;;
    *) mkdir -p "$controller$cgroup" ;;
  esac
done

ip link set lo up
ip link add node0 type bridge
ip address add "$address/24" dev node0
ip link set node0 up
ip route add default via "$address"
echo 1 >/proc/sys/net/ipv4/ip_forward
hostname node
cd "$directory"

# With iptables-nft, a request in a thousand finds no rule at the instant when rules are replaced,
# and has no route.
for tool in iptables iptables-restore iptables-save ip6tables ip6tables-restore ip6tables-save; do
  ln -s "/usr/sbin/${tool/tables/tables-legacy}" "bin/$tool"
done

# keep NAME COMMAND...: runs it, and runs it again when it ends.
keep() {
  local name=$1
  shift
  while :; do
    "$@" >>"logs/$name.log" 2>&1 || true
    sleep 0.5
  done &
}

keep etcd etcd --data-dir "$directory/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
  --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --logger zap
keep apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --cert-dir "$directory/certificates" \
  --advertise-address "$address" --bind-address "$address" --secure-port 6443 --service-cluster-ip-range 10.91.0.0/16 \
  --kubelet-preferred-address-types InternalIP --authorization-mode Node,RBAC --token-auth-file "$directory/tokens.csv" --allow-privileged \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$directory/accounts.key" \
  --service-account-signing-key-file "$directory/accounts.key"
keep controller-manager kube-controller-manager --kubeconfig "$directory/kubeconfig" --leader-elect=false \
  --use-service-account-credentials --service-account-private-key-file "$directory/accounts.key" \
  --root-ca-file "$directory/certificates/apiserver.crt" --port 0
keep scheduler kube-scheduler --kubeconfig "$directory/kubeconfig" --leader-elect=false --port 0
# It waits longer and longer for its node.
(
  until kubectl --kubeconfig "$directory/kubeconfig" get node node >/dev/null 2>&1; do sleep 0.5; done
  keep proxy kube-proxy --config "$directory/proxy.yaml"
  wait
) &
keep containerd containerd --config "$directory/containerd.toml"
keep kubelet kubelet --config "$directory/kubelet.yaml" --kubeconfig "$directory/kubeconfig" --root-dir "$directory/kubelet" \
  --container-runtime remote --container-runtime-endpoint unix:///run/containerd/containerd.sock --node-ip "$address" \
  --hostname-override node --volume-plugin-dir "$directory/plugins" --cert-dir "$directory/kubelet-certificates"
wait
