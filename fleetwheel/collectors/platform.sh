ask_platform() {
    say uname "$(uname -sm)"
    say clock "$(date +%s)"
    sed -n -e 's/^PRETTY_NAME=/distribution /p' -e 's/^ID=/distribution_id /p' \
        -e 's/^ID_LIKE=/distribution_like /p' -e 's/^VERSION_ID=/distribution_version /p' \
        "$tree/etc/os-release"
    sed -n 's/^DGX_PRETTY_NAME=/dgx /p' "$tree/etc/dgx-release"
    say libc "$(getconf GNU_LIBC_VERSION || ldd --version 2>&1 | head -n 1)"
    read -r _ kib _ <"$tree/proc/meminfo" && say memory_kib "$kib"
    read -r boot <"$tree/proc/sys/kernel/random/boot_id" && say boot_id "$boot"
    read -r jetson <"$tree/etc/nv_tegra_release" && say jetson "$jetson"
    read -r release <"$tree/proc/sys/kernel/osrelease" && say release "$release"
    say boot_kernel "$(boot_kernel)"
    kernels=$(kernel_packages)
    echo "$kernels" | say_lines kernel_package
    say booted "$(sed -n 's/^btime //p' "$tree/proc/stat")"
    if [ -e "$tree/run/reboot-required" ]; then say reboot yes; fi
    ask_secure_boot
    ask_container
    server_drivers | say_lines offered
} 2>/dev/null

# boot_kernel: the release of the kernel that the next boot takes, the newest where nobody chose one.
boot_kernel() {
    chosen=$(PATH=$PATH:/usr/sbin:/sbin within 5 grubby --default-kernel)
    if [ "$chosen" ]; then
        echo "${chosen#*/vmlinuz-}"
    else
        for image in "$tree"/boot/vmlinuz-* "$tree"/boot/Image-*; do
            release=${image##*/}
            if [ -e "$image" ]; then echo "${release#*-}"; fi
        done | grep -v -e rescue | sort -V | tail -n 1
    fi
}

# The packages that bring each next kernel, such as linux-image-cloud-amd64: dpkg lists them all.
kernel_packages() {
    within 5 dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'linux-image-*' |
        sed -n 's/^.i  *linux-image-\([a-z].*\)/\1/p' | grep -v -e dbg -e unsigned -e ^extra- | head -n 20
}

# The variable of the UEFI specification: four bytes of attributes, then 1 where it is on.
ask_secure_boot() {
    variable=$tree/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
    secure_boot=
    if [ -r "$variable" ]; then secure_boot=$(od -An -t u1 -j 4 -N 1 "$variable" | tr -d ' '); fi
    say secure_boot "$secure_boot"
}

# server_drivers: Ubuntu's NVIDIA drivers for servers, and the modules that it signed for the kernels
# of this host, as apt's lists have them, whatever is installed. apt-cache writes no cache here: asking
# changes nothing.
server_drivers() {
    if [ "$secure_boot" != 1 ] || ! grep -q -x 'ID="*ubuntu"*' "$tree/etc/os-release" ||
        ! grep -q -x 0x10de "$tree"/sys/bus/pci/devices/*/vendor; then return; fi
    flavours=$(echo "$kernels" | sed 's/virtual/generic/' | tr '\n' '|')
    within 5 apt-cache -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o Dir::State::status=/dev/null pkgnames |
        grep -E -x "(nvidia-driver|linux-modules-nvidia)-[0-9]+-server(-open)?(-(${flavours%|}))?"
}

# The marks of each engine; systemd-nspawn, LXC and Podman also name themselves to process 1.
ask_container() {
    kind=
    if [ -e "$tree/.dockerenv" ]; then kind=docker; fi
    if [ -e "$tree/run/.containerenv" ]; then kind=podman; fi
    read -r kind <"$tree/run/systemd/container"
    if [ -z "$kind" ]; then
        kind=$(tr '\0' '\n' <"$tree/proc/1/environ" | sed -n 's/^container=//p')
    fi
    say container "$kind"
}
