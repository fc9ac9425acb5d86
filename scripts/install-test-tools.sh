#!/bin/sh
# Install what some tests need beside Python; without it they skip and say why. Debian, as root.
set -eu

PATH=$PATH:/usr/sbin:/usr/lib/wine
missing=""
for tool in busybox:busybox shellcheck:shellcheck sshd:openssh-server nginx:nginx-light rsync:rsync git:git \
    wine64:wine64 x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64-win32 ssh-keygen:openssh-client \
    chromium:chromium systemd-analyze:systemd debootstrap:debootstrap \
    mmdebstrap:mmdebstrap dpkg-deb:dpkg nsenter:util-linux; do
    command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool##*:}"
done
[ -n "$missing" ] || exit 0
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
