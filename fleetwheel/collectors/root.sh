# Where the root is, and whom a host may believe. Also sent as one line: see _script.py.

# find_root: sets $root, which is the inventory's, or follows from who asks.
find_root() {
    uid=$(id -u)
    case $uid:$asked_root in
    *:\~/*) root=$HOME/${asked_root#??} ;;
    *:/*) root=$asked_root ;;
    *:?*) root=$HOME/$asked_root ;;
    0:) root=/opt/fleetwheel ;;
    *) root=${XDG_DATA_HOME:-$HOME/.local/share}/fleetwheel ;;
    esac
    root=/${root#/}
}

# own DIRECTORY: whether nobody but root and who asks can have written what it holds, nor have put
# another one in its place. In a directory with the sticky bit only its owner replaces a thing.
own() (
    cd -P "$1" 2>/dev/null || exit 1
    path=$(pwd -P)
    set -- "$path"
    while [ "$path" ]; do
        path=${path%/*}
        set -- "$@" "${path:-/}"
    done
    listed=$(ls -ldn -- "$@") || exit 1
    printf '%s\n' "$listed" | while read -r mode _ owner _; do
        case $mode:$owner in
        d????-??-*:0 | d????-??-*:"$uid" | d????????[tT]*:0) ;;
        *) exit 1 ;;
        esac
    done
)
