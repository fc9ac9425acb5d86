# Of programs and interpreters, by the rule of trust.sh.

# trusted_path PATH: those of its directories that can be trusted, in $trusted_path.
trusted_path() {
    trusted_path=
    set -f
    IFS=:
    set -- $1
    unset IFS
    set +f
    for place; do
        case $place in /*) if [ -d "$place" ] && trusts "$place"; then
            trusted_path=$trusted_path${trusted_path:+:}$place
        fi ;; esac
    done
}

# trusts_python PATH: an interpreter, with what it starts from: the top of its library and packages.
trusts_python() {
    trusts "$1" || return 1
    interpreter=$at python_private=$private version=${at##*/python}
    case $version in [0-9]*) ;; *) version=3 ;; esac
    trusts_home || return 1
    own=
    for library in "$prefix"/lib*/py*"$version"* "$prefix"/lib*/python3/*-packages \
        "$prefix"/local/lib*/python"$version"*/*-packages; do
        if [ ! -d "$library" ]; then continue; fi
        trusts_all "$library" -maxdepth 2 || return 1
        case $library in *-packages) continue ;; esac
        python_private=$python_private$private
        case $library in *python3.*) finds_own || return 1 ;; esac
    done
    private=$python_private
    [ "$own" ] || ! below_shared "$prefix"
}

# trusts_home: sets $prefix to what the library lies in: beside $interpreter, or where the pyvenv.cfg
# of a copied environment says. Nobody else may be able to put such a file there.
trusts_home() {
    prefix=${interpreter%/*}
    for place in "$prefix" "${prefix%/*}"; do
        if is_shared "$place"; then return 1; fi
        if [ -f "$place/pyvenv.cfg" ]; then
            home=$(sed -n 's/^home *= *//p' "$place/pyvenv.cfg")
            trusts "${home:-$place}" || return 1
            prefix=$at
            break
        fi
    done
    prefix=${prefix%/bin}
} 2>/dev/null

# finds_own: whether $interpreter takes $library and nothing before it. From 3.11 on, Python looks for
# lib/python311.zip in every directory above itself, and takes its library from beside that one.
finds_own() {
    own=${library%/*}/python3${library##*/python3.}.zip
    if_there trusts "$own" || return 1
    if [ -e "$own" ] || ! below_shared "$prefix"; then return; fi
    why="$why, and Python looks for its library there first, unless there is a file $own"
    return 1
}

# below_shared PATH: sets $why where everyone can write to a directory above it.
below_shared() {
    above=$1
    while [ "$above" ]; do
        above=${above%/*}
        if is_shared "$above"; then return; fi
    done
    return 1
}

# is_shared PATH: whether everyone can write to it, although only owners remove from it.
is_shared() {
    case $shared in *"$end${1:-/}$end"*) why="everyone can write to ${1:-/}" ;; *) return 1 ;; esac
}
