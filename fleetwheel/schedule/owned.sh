# What somebody else than root and the user who acts could change. `acting` comes first.

# acting USER: who acts. A group may write where it is that user's own, as on Ubuntu, and never root's.
acting() {
    me=$(id -u -- "$1") || return
    writable='-perm -002 -o -perm -020'
    if test "$me" != 0 && test "$(id -un -- "$1")" = "$(id -gn -- "$1")"; then
        writable="$writable ! -group $(id -g -- "$1")"
    fi
    others="! -user 0 ! -user $me -o ! -type l ( $writable )"
}

# on_way PATH: the first place on the way there, links followed, that others could change. In a
# sticky directory they cannot touch what is not theirs.
on_way() {
    at='' rest=$1 links=0
    set --
    while test -n "$rest"; do
        name=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
        case $name in
        '' | .) continue ;;
        ..) at=${at%/*} && continue ;;
        esac
        if test -L "$at/$name"; then
            set -- "$@" "$at/$name"
            target=$(readlink -- "$at/$name")
            rest=$target/$rest
            case $target in /*) at='' ;; esac
            links=$((links + 1))
            test "$links" -le 40 || break
        elif test -e "$at/$name"; then
            at=$at/$name
            set -- "$@" "$at"
        else
            break
        fi
    done
    test "$#" -gt 0 || return
    # shellcheck disable=SC2086
    found=$(find "$@" -maxdepth 0 \( $others \) \
        ! \( -type d -perm -1000 \( -user 0 -o -user "$me" \) \)) || found=$1
    test "$links" -le 40 || found=$at/$name
    test -z "$found" || printf '%s\n' "$found" | sed 1q
}

# owned_by_others PATH: the first place on the way there, in it, or on the way to what links in it
# point to, that others could change.
owned_by_others() {
    {
        on_way "$1"
        # shellcheck disable=SC2086
        find -H "$1" \( $others \) -print 2>/dev/null
        find -H "$1" -type l -print 2>/dev/null | while read -r link; do
            # Others lead to what is looked at anyway.
            case $(readlink -- "$link") in /* | *..*) on_way "$link" ;; esac
        done
    } | head -n 1
}
