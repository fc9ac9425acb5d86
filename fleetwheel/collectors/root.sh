# Where the root is. Also sent as one line: see _script.py.

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
