ask_gpu() {
    ask_kernel
    find_smi
    if [ -z "$smi$signs" ]; then return; fi
    find_library
    launch packages driver_packages
    launch built built_modules
    ticks=$((20 * gpu_seconds))
    if [ "$library" ]; then launch nvml ask_nvml; fi
    if [ "$smi" ]; then ask_smi; fi
    if [ "$library" ]; then
        await nvml
        code nvml
        say nvml_exit "$code"
        say_lines nvml <"$work/nvml"
    fi
    ticks=60
    await packages built
    say_lines package <"$work/packages"
    cat "$work/built"
} 2>/dev/null

ask_smi() {
    say smi "$smi"
    launch banner within "$gpu_seconds" "$smi"
    fields=index,uuid,pci.bus_id,name,compute_cap,memory.total,driver_version
    query all
    await query-all
    # A driver before 510 does not know the compute capability.
    if grep -q 'is not a valid field' "$work/query-all"; then
        fields=index,uuid,pci.bus_id,name,memory.total,driver_version
        query all
        await query-all
    fi
    say fields "$fields"
    code query-all
    say exit "$code"
    say_lines query <"$work/query-all"
    if grep -q -i -e 'device handle' -e 'is lost' "$work/query-all"; then query_each; fi
    await banner
    grep 'CUDA' "$work/banner" | say_lines banner
}

# What the kernel knows, with nothing started and nothing that can block in the driver.
ask_kernel() {
    devices=
    for device in "$tree"/sys/bus/pci/devices/*; do
        vendor='' class=''
        read -r vendor <"$device/vendor"
        read -r class <"$device/class"
        case $vendor:$class in
        0x10de:0x03*)
            devices="$devices ${device##*/}"
            read -r id <"$device/device"
            say pci "${device##*/} $id"
            ;;
        0x10de:0x0680*) # a bridge: NVSwitch of the first three generations
            read -r id <"$device/device"
            say bridge "${device##*/} $id"
            ;;
        esac
    done
    module=
    read -r module <"$tree/sys/module/nvidia/version" || module=$(sed -n \
        's/^NVRM version:.* \([0-9]\{3\}\.[0-9.]*\) .*/\1/p' "$tree/proc/driver/nvidia/version")
    if [ "$module" ]; then say module "$module"; fi
    read -r line <"$tree/proc/driver/nvidia/version" && say module_line "$line"
    if [ -d "$tree/sys/module/nouveau" ]; then say nouveau yes; fi
    if [ -d "$tree/sys/module/nova_core" ]; then say nova_core yes; fi
    say blacklisted "$(stat -c %Z "$tree/etc/modprobe.d/fleetwheel-nouveau.conf")"
    # A container may see the driver but no PCI bus; WSL and Jetson have their GPU elsewhere.
    signs=$devices$module
    for sign in dev/nvidiactl dev/dxg etc/nv_tegra_release; do
        if [ -e "$tree/$sign" ]; then signs=$signs$sign; fi
    done
}

# find_library: sets $library, to the first that the dynamic linker would take; empty without one.
find_library() {
    library=
    library_paths >"$work/libraries"
    while read -r path; do
        if [ ! -f "$path" ]; then continue; fi
        if trusts "$path"; then library=$path && break; else skipped "$path"; fi
    done <"$work/libraries"
    if [ "$library" ]; then
        say library "$(readlink -f "$library")"
        say library_changed "$(stat -L -c %Z "$library")"
    fi
}

library_paths() {
    printf '%s\n' "$LD_LIBRARY_PATH" | tr : '\n' | sed 's,$,/libnvidia-ml.so.1,'
    "$tree/sbin/ldconfig" -p | sed -n 's/.*libnvidia-ml\.so\.1 (libc6,.*=> //p'
    for directory in /usr/lib64 /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu \
        /usr/lib/aarch64-linux-gnu/nvidia /usr/lib /usr/lib/wsl/lib /usr/local/nvidia/lib64 \
        /run/opengl-driver/lib; do
        echo "$tree$directory/libnvidia-ml.so.1"
    done
}

# ask_nvml: runs the probe with the first Python that can: the one in $node, or what was sent along.
ask_nvml() {
    if [ "$node" ]; then
        set -- "$node" nvml
    else
        printf %s "$nvml_probe" | base64 -d >"$work/nvml.zip" || return 127
        set -- "$work/nvml.zip"
    fi
    export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}${library%/*}"
    can='import ctypes, sys, zlib; sys.exit(sys.version_info < (3, 8) or sys.maxsize < 2**32)'
    find_root
    { printf '%s\n' "$PATH" | tr : '\n' && ls -d "$root"/pythons/*/bin; } >"$work/bins"
    while read -r directory; do
        for python in "$directory"/python3 "$directory"/python3.[89] "$directory"/python3.1[0-9]; do
            if [ -x "$python" ] && trusts_python "$python" &&
                within 5 "$python" -E -s -S -B -c "$can" </dev/null; then
                within "$gpu_seconds" "$python" -E -s -S -B "$@" </dev/null
                return
            fi
        done
    done <"$work/bins"
    return 127
}

driver_packages() {
    set -- 'nvidia-driver*' 'nvidia-fabric*' nvlsm 'nvidia-imex*' 'nvidia-open*' 'cuda-drivers*'
    within 5 dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' "$@" \
        'nvidia-dkms*' 'nvidia-kernel-*' 'nvidia-tesla-*' 'libnvidia-compute*' \
        'linux-modules-nvidia-*'
    within 5 rpm -qa --qf 'ii %{NAME} %{VERSION}-%{RELEASE}\n' "$@" 'kmod-nvidia*' \
        'akmod-nvidia*' 'xorg-x11-drv-nvidia*' 'nvidia-compute*'
} 2>/dev/null

# built_modules: version, licence and age of the modules for each of the newest kernels, and what dkms
# and the firmware have to say of them. Debian's own packages give nvidia.ko other names, which
# modprobe knows and modinfo does not.
built_modules() {
    PATH=$PATH:/usr/sbin:/sbin
    for kernel in $(ls "$tree/lib/modules" | sort -V | tail -n 8); do
        for name in nvidia nvidia-current nvidia-current-open nvidia-tesla-470; do
            file=$(within 5 modinfo -n -k "$kernel" "$name") || continue
            version=$(within 5 modinfo -F version -k "$kernel" "$name")
            licence=$(within 5 modinfo -F license -k "$kernel" "$name")
            say built "$kernel $version $(stat -L -c %Z "$file") $licence"
        done
    done
    # Said last: a list that was cut would have kernels without a module.
    if command -v modinfo >/dev/null; then say looked modules; fi
    within 5 dkms status | grep -i '^nvidia' | say_lines dkms
    for key in /var/lib/shim-signed/mok/MOK.der /var/lib/dkms/mok.pub \
        /etc/pki/akmods/certs/public_key.der; do
        if [ -r "$tree$key" ]; then
            say mok "$key $(within 5 mokutil --test-key "$tree$key")"
        fi
    done
} 2>/dev/null

# find_smi: sets $smi, from PATH or one of the places outside it; empty when there is none.
find_smi() {
    for smi in "$(PATH=$asked_path && command -v nvidia-smi)" "$(command -v nvidia-smi)" \
        /usr/lib/wsl/lib/nvidia-smi /usr/local/nvidia/bin/nvidia-smi /opt/bin/nvidia-smi \
        /run/current-system/sw/bin/nvidia-smi; do
        if [ ! -x "$smi" ]; then continue; fi
        if trusts "$smi"; then return; else skipped "$smi"; fi
    done
    smi=
}

# query NAME [OPTION...]: asks for $fields in the background, as job query-NAME.
query() {
    name=$1
    shift
    rm -f "$work/query-$name.code"
    launch "query-$name" within "$gpu_seconds" "$smi" "--query-gpu=$fields" \
        --format=csv,noheader,nounits "$@"
}

# A lost GPU makes nvidia-smi give up on the others too, but not when they are asked for one by one.
query_each() {
    for device in $devices; do query "$device" -i "$device"; done
    for device in $devices; do
        await "query-$device"
        say_lines query <"$work/query-$device"
    done
}
