ask_environments() {
    find_root
    say root "$root"
    say user "$(id -un || echo "$uid")"
    near=$root
    while [ ! -e "$near" ] && [ "$near" ]; do near=${near%/*}; done
    near=${near:-/}
    if [ -d "$near" ] && [ -w "$near" ] && [ -x "$near" ]; then say writable yes; fi
    df -Pk "$near" | say_lines free
    # The last mount of a place hides those before it.
    grep -F " $(df -Pk "$near" | sed -n '2s/.*% //p') " /proc/self/mounts | tail -n 1 | say_lines mount
    if ! trusts "$root" && [ "$absent" ]; then return; fi
    if [ -d "$root" ]; then say exists yes; fi
    trusts_root || { say distrusted "$why" && return; }
    if [ -x "$root/bin/uv" ]; then say uv "$(readlink "$root/bin/uv")"; fi
    if [ -L "$root/current" ]; then say current "$(readlink "$root/current")"; fi
    for link in "$root"/environments/*; do
        if [ -L "$link" ]; then say environment "${link##*/} $(readlink "$link")"; fi
    done
    if [ -f "$root/state.json" ]; then say_lines record 2097152 <"$root/state.json"; fi
    for version in "$root"/lib/node-*; do
        # The one that asks was looked at before it was read.
        if [ "${version##*/}" = "${node##*/}" ] || { [ -d "$version" ] && trusts_all "$version"; }; then
            say node "${version##*/}"
        fi
    done
    cd "$root/cache/wheels" && for wheel in */*.whl; do say wheel "${wheel%%/*}"; done
    cd "$root/envs" && ask_generations
} 2>/dev/null

# One process reads a file of all generations. Their names begin with no dot, which `*` leaves out:
# those are being built. With /dev/null there are always several files, so that grep names them.
ask_generations() {
    for id in *; do
        if [ -d "$id" ]; then say generation "$id"; fi
        if [ ! -x "$id/bin/python" ]; then continue; fi
        if trusts_python "$root/envs/$id/bin/python"; then say runs "$id"; else skipped "$root/envs/$id"; fi
    done
    grep -E '^(home|version|version_info) *=' -- */pyvenv.cfg /dev/null | sed 's/^/config /'
    sha256sum -- */pylock.toml | sed 's/^/lock /'
    grep -m 2 -E '^(Name|Version):' -- */lib/python3*/site-packages/*.dist-info/METADATA /dev/null |
        sed 's/^/package /'
}
