#!/usr/bin/env bash
# Fetches Debian's kernel (linux-image-amd64) into artefacts/guest-kernel without installing it: system tests boot it under
# QEMU, since the host's kernel lacks quotas, device-mapper and NFS. Does nothing when the kernel is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
target=artefacts/guest-kernel
[ -e "$target/ready" ] && exit 0

PATH="$PATH:/usr/sbin:/sbin"
rm -rf "$target"
mkdir -p "$target/download"
target=$(realpath "$target")
cd "$target/download"
package_name() { apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ {print $2; exit}'; }
[ -n "$(package_name)" ] || { [ "$(id -u)" -ne 0 ] || apt-get update -q; }
package=$(package_name)
[ -n "$package" ] || { echo 'Cannot fetch the guest kernel: apt does not know linux-image-amd64' >&2; exit 1; }
# The package lists of a fresh container are old.
apt-get download -q "$package" || { apt-get update -q && apt-get download -q "$package"; }
dpkg-deb -x linux-image-*.deb "$target"
cd "$target"
rm -rf download
cp boot/vmlinuz-* vmlinuz
version=$(ls lib/modules)
depmod -b "$target" "$version"
echo "$version" >version
touch ready
