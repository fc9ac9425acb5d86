# What every question shares. Positional parameters: the root (may be empty), the seconds that NVML
# and nvidia-smi get, the tree that /etc, /proc, /sys and /dev are read from (may be empty), and the
# users and groups that the inventory trusts.
asked_root=$1 gpu_seconds=$2 tree=$3
export LC_ALL=C
asked_path=$own_path:/usr/local/bin:/usr/bin:/bin
PATH=/usr/bin:/bin:$asked_path
cd /

trusted_path "$asked_path"
PATH=$trusted_path

# make_work DIRECTORY: a directory of this shell's own there, as $work, where there is room to write
# and nobody else can put another in its place.
make_work() {
    work=$(mktemp -d "$1/fleetwheel.XXXXXXXX") || return
    trusts "$work" || { rmdir "$work" && return 1; }
    trap 'rm -rf "$work"' EXIT
    head -c 65536 /dev/zero >"$work/room" || { rm -rf "$work" && return 1; }
} 2>/dev/null

# Memory first: a host whose disk is full or read-only must be able to say so.
make_work /dev/shm || make_work "${TMPDIR:-/tmp}" || make_work /tmp || exit 1
trap 'exit 1' HUP INT TERM
if timeout -k 1 5 true 2>/dev/null; then can_stop=yes; else can_stop=; fi

say() { printf '%s %s\n' "$1" "$2"; }

# say_lines KEY [BYTES]: the standard input, up to 64 KiB or as many bytes, as lines of the answer.
say_lines() { { head -c "${2:-65536}"; echo; } | sed "s/^/$1 /"; }

# within SECONDS COMMAND...: ended when the time is up, where the host has timeout.
within() {
    limit=$1
    shift
    if [ "$can_stop" ]; then timeout -k 1 "$limit" "$@"; else "$@"; fi
}

# launch JOB COMMAND...: in the background, with its output, at most 4 MiB, in $work/JOB and then its
# exit code in $work/JOB.code. Nothing that it starts holds the output of this shell.
launch() {
    job=$1
    shift
    (
        (
            ulimit -f 8192
            "$@"
        ) >"$work/$job" 2>&1
        echo $? >"$work/$job.code"
    ) </dev/null >/dev/null 2>&1 &
}

# await JOB...: until all have ended or $ticks, of 0.05 s, are used up. `wait` would never come
# back from a process that hangs in the kernel.
await() {
    for awaited; do
        while [ ! -s "$work/$awaited.code" ] && [ "$ticks" -gt 0 ]; do
            if sleep 0.05; then ticks=$((ticks - 1)); else sleep 1 && ticks=$((ticks - 20)); fi
        done
    done
} 2>/dev/null

# code JOB: sets $code to its exit code; 124, as timeout has it, when it has not ended.
code() { read -r code <"$work/$1.code" || code=124; } 2>/dev/null

# answer SECTION...: all sections at once, each line under the name of its section. What is no
# text is left out: control characters, and bytes that are not UTF-8.
answer() {
    for section; do launch "$section" "ask_$section"; done
    for section; do
        case $section in gpu) ticks=$((20 * (gpu_seconds + 5))) ;; *) ticks=300 ;; esac
        await "$section"
    done
    for section; do
        code "$section"
        { cat "$work/$section"; echo; say ended "$code"; } | sed "s/^/$section /"
    done | tr -d '\000-\010\013-\037\177' | text_only
    exit 0
}

text_only() {
    if command -v iconv >/dev/null; then iconv -c -f UTF-8 -t UTF-8; else tr -d '\200-\377'; fi
}

# skipped PATH: what is not run or read, and why.
skipped() { say skipped "$1: $why"; }
