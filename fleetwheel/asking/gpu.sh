ask_gpu() {
    ask_kernel
    find_smi
    if [ -z "$smi$devices" ]; then return; fi
    launch packages driver_packages
    if [ "$smi" ]; then ask_smi; fi
    ticks=60
    await packages
    say_lines package <"$work/packages"
} 2>/dev/null

ask_smi() {
    say smi "$smi"
    ticks=$((20 * gpu_seconds))
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
        esac
    done
    read -r version <"$tree/sys/module/nvidia/version" && say module "$version"
    if [ -d "$tree/sys/module/nouveau" ]; then say nouveau yes; fi
    for library in "$tree"/usr/lib64/libnvidia-ml.so.1 "$tree"/usr/lib/*-linux-gnu/libnvidia-ml.so.1; do
        if [ -e "$library" ]; then say library "$(readlink -f "$library")"; fi
    done
}

driver_packages() {
    if command -v dpkg-query >/dev/null; then
        within 5 dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' 'nvidia-driver*' \
            'nvidia-dkms*' 'nvidia-kernel-*' 'libnvidia-compute*' 'cuda-drivers*'
    else
        within 5 rpm -qa --qf 'ii %{NAME} %{VERSION}-%{RELEASE}\n' 'nvidia-driver*' 'kmod-nvidia*' \
            'akmod-nvidia*' 'cuda-drivers*'
    fi
}

# find_smi: sets $smi, from PATH or one of the places outside it; empty when there is none.
find_smi() {
    for smi in "$(command -v nvidia-smi)" /usr/lib/wsl/lib/nvidia-smi \
        /usr/local/nvidia/bin/nvidia-smi /opt/bin/nvidia-smi \
        /run/current-system/sw/bin/nvidia-smi; do
        if [ -x "$smi" ]; then return; fi
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
