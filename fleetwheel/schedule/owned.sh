# What somebody else than root and the user who acts could change. `acting` comes first.

# acting USER: who acts. A group may write where it is that user's own, as on Ubuntu, and never root's.
acting() {
    me=$(id -u -- "$1") || return
    group=4294967295
    if test "$me" != 0 && test "$(id -un -- "$1")" = "$(id -gn -- "$1")"; then
        group=$(id -g -- "$1")
    fi
    others="! -uid 0 ! -uid $me -o ! -type l ( -perm -002 -o -perm -020 ! -gid $group )"
}

# on_way PATH: the first place on the way there, links followed, that others could change. In a
# sticky directory they cannot touch what is not theirs.
on_way() {
    at='' rest=$1 links=0
    while test -n "$rest"; do
        name=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
        case $name in
        '' | .) continue ;;
        ..) at=${at%/*} && continue ;;
        esac
        # shellcheck disable=SC2086
        found=$(find "$at/$name" -maxdepth 0 \( $others \) \
            ! \( -type d -perm -1000 \( -uid 0 -o -uid "$me" \) \) 2>/dev/null)
        if test -L "$at/$name"; then links=$((links + 1)); fi
        if test -n "$found" || test "$links" -gt 40; then
            printf '%s\n' "$at/$name"
            return
        elif test -L "$at/$name"; then
            target=$(readlink -- "$at/$name")
            rest=$target/$rest
            case $target in /*) at='' ;; esac
        else
            at=$at/$name
        fi
    done
}

# owned_by_others PATH: the first place on the way there, in it, or on the way to what links in it
# point to, that others could change.
owned_by_others() {
    {
        on_way "$1"
        # shellcheck disable=SC2086
        find -H "$1" \( $others \) -print 2>/dev/null
        find -H "$1" -type l -print 2>/dev/null | while read -r link; do on_way "$link"; done
    } | head -n 1
}
