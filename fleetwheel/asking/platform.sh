ask_platform() {
    say uname "$(uname -sm)"
    say clock "$(date +%s)"
    sed -n 's/^PRETTY_NAME=/distribution /p' "$tree/etc/os-release"
    say libc "$(getconf GNU_LIBC_VERSION || ldd --version 2>&1 | head -n 1)"
    read -r _ kib _ <"$tree/proc/meminfo" && say memory_kib "$kib"
    read -r boot <"$tree/proc/sys/kernel/random/boot_id" && say boot_id "$boot"
    read -r jetson <"$tree/etc/nv_tegra_release" && say jetson "$jetson"
    read -r release <"$tree/proc/sys/kernel/osrelease" && say release "$release"
    if [ -e "$tree/run/reboot-required" ]; then say reboot yes; fi
    ask_secure_boot
    ask_container
} 2>/dev/null

# The variable of the UEFI specification: four bytes of attributes, then 1 where it is on.
ask_secure_boot() {
    variable=$tree/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
    if [ -r "$variable" ]; then say secure_boot "$(od -An -t u1 -j 4 -N 1 "$variable")"; fi
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
