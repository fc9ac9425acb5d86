# An interpreter is asked about itself without its site and with few imports: 10 ms each.
python_program='
import os, sys
path = os.path.realpath(sys.executable)
config = os.path.join(os.path.dirname(os.path.dirname(path)), "pyvenv.cfg")
if os.path.exists(config):
    home = [line.split("=", 1)[1] for line in open(config) if line.split("=")[0].strip() == "home"]
    path = os.path.realpath(os.path.join(home[0].strip(), "python%d.%d" % sys.version_info[:2]))
print("%s %s %d %s %d %s" % (
    sys.version.split()[0],
    getattr(getattr(sys, "implementation", None), "name", "unknown"),
    64 if sys.maxsize > 2**32 else 32,
    getattr(sys, "abiflags", "") or "-",
    os.path.exists(os.path.join(os.path.dirname(os.__file__), "venv", "__init__.py")),
    path,
))
'

# Shims are slow to run: what stands behind them is looked up instead. WSL puts the folders of
# Windows, /mnt/c/..., on PATH, which are slow to look into and hold nothing of ours.
python_directories() {
    printf '%s\n' "$asked_path" | tr : '\n' | while read -r directory; do
        case $directory in
        /mnt/[a-z]/*) ;;
        /*/shims) ls -d "${directory%/shims}"/versions/*/bin "${directory%/shims}"/installs/python/*/bin ;;
        /*) printf '%s\n' "$directory" ;;
        esac
    done
    ls -d "$HOME"/.pyenv/versions/*/bin "$root"/pythons/*/bin
}

python_names() {
    while read -r directory; do
        for name in "$directory"/python "$directory"/python3 "$directory"/python3.[0-9]*; do
            case ${name##*/python} in *[!0-9.t]*) continue ;; esac
            if [ -f "$name" ] && [ -x "$name" ]; then printf '%s\n' "$name"; fi
        done
    done
}

# reach PATH: sets $reach of the interpreter that was just found to be trusted: who can run it where
# root deploys to a place that all can reach.
reach() {
    case ${private:+yes}:$uid$root_private:$1 in yes:0:"$root"/*) reach=root ;; yes:0:*) reach=private ;; *) reach=everyone ;; esac
}

ask_pythons() {
    find_root
    trusts "$root"
    root_private=$private
    python_directories | python_names >"$work/names"
    set --
    while read -r name; do set -- "$@" "$name"; done <"$work/names"
    realpath "$@" >"$work/paths" || cp "$work/names" "$work/paths"
    number=0
    sort -u "$work/paths" >"$work/each"
    while read -r path; do
        if ! trusts_python "$path"; then skipped "$path" && continue; fi
        reach "$path"
        number=$((number + 1))
        echo "$reach $path" >>"$work/trusted"
        launch "python$number" within 5 "$path" -E -s -S -B -c "$python_program"
    done <"$work/each"
    number=0 ticks=120
    while read -r reach path; do
        number=$((number + 1))
        await "python$number"
        code "python$number"
        read -r line <"$work/python$number"
        if [ "$code" = 0 ]; then say python "$reach $line"; else say broken "$code $path"; fi
    done <"$work/trusted"
} 2>/dev/null
