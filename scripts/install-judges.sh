#!/usr/bin/env bash
# Makes sure that the foreign programs which the tests ask for the truth are there: QEMU, the filesystems' own tools,
# the shells that completions are for, bubblewrap and what looks at it from outside, systemd and Prometheus. As root on Debian it installs what is missing; else it lists it and fails.
set -euo pipefail

# Usage: install-judges.sh [system]      with `system` also the programs of the system tests

PATH="$PATH:/usr/sbin:/sbin" # mkfs lives there, also for who is not root

# program  Debian package
JUDGES='
qemu-img    qemu-utils
qemu-io     qemu-utils
qemu-nbd    qemu-utils
qemu-system-x86_64  qemu-system-x86
qemu-storage-daemon qemu-system-common
mkfs.xfs    xfsprogs
xfs_io      xfsprogs
mkfs.btrfs  btrfs-progs
mkfs.ext4   e2fsprogs
mkfs.minix  util-linux
mkfs.cramfs util-linux
mkfs.jfs    jfsutils
mkfs.nilfs2 nilfs-tools
mkfs.f2fs   f2fs-tools
mkfs.exfat  exfatprogs
mkfs.erofs  erofs-utils
mkfs.reiserfs  reiserfsprogs
mkapfs      apfsprogs
mksquashfs  squashfs-tools
filefrag    e2fsprogs
chattr      e2fsprogs
mount       mount
losetup     mount
setpriv     util-linux
unshare     util-linux
flock       util-linux
fuser       psmisc
mergerfs    mergerfs
bindfs      bindfs
python3     python3
bwrap       bubblewrap
strace      strace
promtool    prometheus
prometheus  prometheus
systemd-analyze     systemd
systemd-notify      systemd
systemd-sysusers    systemd
setfacl     acl
script      bsdutils
man         man-db
fish        fish
zsh         zsh
chromium    chromium
'

SYSTEM_JUDGES='
dmsetup     lvm2
lvcreate    lvm2
thin_check  thin-provisioning-tools
setquota    quota
xfs_quota   xfsprogs
exportfs    nfs-kernel-server
busybox     busybox-static
depmod      kmod
cpio        cpio
'
[ "${1:-}" != system ] || JUDGES="$JUDGES$SYSTEM_JUDGES"

missing_programs() {
  while read -r program package; do
    [ -z "$program" ] || command -v "$program" >/dev/null || printf '%s\t%s\n' "$program" "$package"
  done <<<"$JUDGES"
}

missing=$(missing_programs)
[ -n "$missing" ] || exit 0
packages=$(cut -f2 <<<"$missing" | sort -u | tr '\n' ' ')

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  {
    echo 'Cannot run the tests: these programs are missing (program, Debian package):'
    sed 's/^/  /' <<<"$missing"
    echo "Install them first: sudo apt-get install $packages"
  } >&2
  exit 1
fi

echo "Installing what the tests judge by: $packages"
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages </dev/null; }
# The package lists of a fresh container are empty or old.
install || { apt-get update -q && install; }

still=$(missing_programs)
if [ -n "$still" ]; then
  printf 'Cannot run the tests: still missing after the installation:\n%s\n' "$still" >&2
  exit 1
fi
