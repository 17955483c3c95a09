# Sets up libvirt in a deployed guest: installs it if necessary, with a user for the region's SSH key, a pool and a network.
set -eu
export PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive
user=innkeeper

if ! command -v virsh >/dev/null || ! { command -v libvirtd || command -v virtqemud; } >/dev/null; then
  if command -v apt-get >/dev/null; then
    case $(uname -m) in
      aarch64) emulator="qemu-system-arm qemu-efi-aarch64" ;;
      *) emulator="qemu-system-x86 ovmf" ;;
    esac
    apt-get -qq update
    apt-get -qq -y install libvirt-daemon-system libvirt-clients qemu-utils dnsmasq-base $emulator
  elif command -v dnf >/dev/null; then
    dnf -q -y install libvirt qemu-kvm qemu-img edk2-ovmf
  else
    echo "This system has no libvirt, and neither apt-get nor dnf to install it."
    exit 1
  fi
fi

if systemctl cat libvirtd.service >/dev/null 2>&1; then
  systemctl enable --now libvirtd.service
else
  systemctl enable --now virtqemud.socket virtnetworkd.socket virtstoraged.socket virtnodedevd.socket
fi

id $user >/dev/null 2>&1 || useradd --system --create-home --home-dir /var/lib/$user --shell /bin/sh $user
usermod --append --groups libvirt --password "*" $user
mkdir -p /var/lib/$user/.ssh
printf "restrict %s\n" "$(cat /run/innkeeper/trusted)" >/var/lib/$user/.ssh/authorized_keys
chown -R $user: /var/lib/$user/.ssh
chmod 700 /var/lib/$user/.ssh

virsh="virsh --quiet --connect qemu:///system"
$virsh version
if [ -z "$($virsh pool-list --all --name)" ]; then
  $virsh pool-define-as default dir --target /var/lib/libvirt/images
  $virsh pool-build default
  $virsh pool-autostart default
  $virsh pool-start default
fi
if $virsh net-info default >/dev/null 2>&1; then
  $virsh net-autostart default
  # It does not start where its addresses are those of one of this guest's own networks.
  $virsh net-start default || true
fi

for kind in ecdsa ed25519 rsa; do # in the order in which racks prefer them
  key=/etc/ssh/ssh_host_${kind}_key.pub
  if [ -e $key ]; then
    echo "fingerprint=$(ssh-keygen -l -f $key | cut -d' ' -f2)"
    exit 0
  fi
done
echo "This system has no SSH host key."
exit 1
