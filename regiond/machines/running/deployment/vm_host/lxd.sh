# Sets up LXD in a deployed guest: installs it if necessary, listens, and trusts the region's certificate for one project.
set -eu
export HOME="${HOME:-/root}" PATH="$PATH:/usr/sbin:/sbin:/snap/bin" DEBIAN_FRONTEND=noninteractive
certificate=/run/innkeeper/trusted

if ! command -v lxd >/dev/null; then
  if command -v snap >/dev/null; then
    snap install lxd
  elif command -v apt-get >/dev/null; then
    case $(uname -m) in
      aarch64) emulator="qemu-system-arm qemu-efi-aarch64" ;;
      *) emulator="qemu-system-x86 ovmf" ;;
    esac
    apt-get -qq update
    apt-get -qq -y install lxd lxd-client qemu-utils genisoimage $emulator
  else
    echo "This system has no LXD, and neither snap nor apt-get to install it."
    exit 1
  fi
fi

free_subnet() { # the first bytes of a /24 without a route; LXD then asks nobody
  while :; do
    found=10.$(od -A n -N 2 -t u1 /dev/urandom | sed 's/^ *//; s/  */./g')
    ip -4 route show | grep -q "^$found\." || break
  done
  echo "$found"
}

init_with_own_network() {
  lxd init --preseed <<PRESEED
storage_pools: [{name: default, driver: dir}]
networks: [{name: lxdbr0, type: bridge, config: {ipv4.address: $(free_subnet).1/24, ipv4.nat: "true", ipv6.address: none}}]
profiles: [{name: default, devices: {root: {type: disk, path: /, pool: default}, eth0: {type: nic, network: lxdbr0}}}]
PRESEED
}

lxd waitready --timeout=300
if [ -z "$(lxc storage list --format csv)" ]; then
  # It fails where it takes every subnet for used, such as behind a router that answers for all addresses.
  lxd init --auto || init_with_own_network
fi
lxc config set core.https_address "[::]:8443"
grep -q -- "-----BEGIN CERTIFICATE-----" $certificate
cp $certificate /run/innkeeper/innkeeper.crt
lxc config trust list --format csv | grep -q "innkeeper" ||
  lxc config trust add /run/innkeeper/innkeeper.crt --name innkeeper --restricted --projects default
echo "fingerprint=$(lxc info | sed -n 's/^ *certificate_fingerprint: //p')"
