#!/bin/sh
# Install what some tests need beside Python; without it they skip and say why. Debian, as root.
# Tests start sshd and nginx themselves: nothing of them runs after this, nor at the next boot.
set -eu

PATH=$PATH:/usr/sbin:/usr/lib/wine
policy=/usr/sbin/policy-rc.d

deny_starts() {
    if [ -e "$policy" ] && ! grep -q install-test-tools "$policy"; then
        mv "$policy" "$policy.kept"
    fi
    trap allow_starts EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\n# install-test-tools.sh: start nothing while it installs\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

allow_starts() {
    rm -f "$policy"
    if [ -e "$policy.kept" ]; then mv "$policy.kept" "$policy"; fi
}

packages=""
services=""
while IFS=: read -r tool package service; do
    if command -v "$tool" >/dev/null; then continue; fi
    packages="$packages $package"
    services="$services $service"
done <<'END'
busybox:busybox
shellcheck:shellcheck
sshd:openssh-server:ssh
nginx:nginx-light:nginx
rsync:rsync:rsync
git:git
gpg:gnupg
wine64:wine64
x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64-win32
ssh-keygen:openssh-client
chromium:chromium
systemd-analyze:systemd
debootstrap:debootstrap
mmdebstrap:mmdebstrap
dpkg-deb:dpkg
nsenter:util-linux
ansible-inventory:ansible-core
fish:fish
zsh:zsh
END
[ -n "$packages" ] || exit 0

apt-get update -qq
deny_starts
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
for service in $services; do
    update-rc.d "$service" disable
done
