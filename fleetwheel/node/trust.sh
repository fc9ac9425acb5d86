# Who else could change what is run, read or written here. Nothing of a path is used before `trusts`
# says that root, the acting user and those whom the inventory trusts own every directory, link and
# file on the way to it, and that nobody else can write to one of them. Also sent as one line.
end=$(printf '\n_')
end=${end%_}

# know_trusted USERS GROUPS [USER]: whom the inventory trusts besides, by name or number, blanks
# between; USER acts, or who asks.
know_trusted() {
    acting=$3 uid=$3
    case $uid in '' | *[!0-9]*) uid=$(id -u $acting) || return ;; esac
    owners=" 0 $uid $(numbers_of passwd "$1" | tr '\n' ' ')"
    writers=" $({ own_group; numbers_of group "$2"; } | tr '\n' ' ')"
    judged=$end shared=$end closed=$end
}

numbers_of() {
    for name in $2; do
        case $name in *[!0-9]*) getent "$1" "$name" | cut -d : -f 3 ;; *) echo "$name" ;; esac
    done
}

# own_group: the group that an ordinary user is alone in, and that has its name. Ubuntu's umask is
# 002 for those who have one. Only the ls of coreutils shows whom an ACL lets write besides.
own_group() {
    group=$(id -g $acting) user=$(id -un $acting)
    if [ "$uid" = 0 ] || [ -z "$user" ] || [ "$(id -gn $acting)" != "$user" ]; then return; fi
    case $(getent group "$group" | cut -d : -f 4) in '' | "$user") ;; *) return ;; esac
    case $(ls --version) in *coreutils*) ;; *) return ;; esac
    if [ "$(cut -d : -f 4 /etc/passwd | grep -c -x "$group")" -le 1 ]; then echo "$group"; fi
} 2>/dev/null

# trusts PATH: whether it is there and to be trusted. Sets $at to where its links lead, $private where
# some user cannot get there, and $why where it is not to be trusted; $absent is set as well where
# that is only because nothing is at $at.
trusts() {
    at='' rest=$1 links=0 why='' private='' absent=''
    look_at / || return 1
    while [ "$rest" ]; do
        name=${rest%%/*}
        rest=${rest#"$name"} rest=${rest#/}
        case $name in '' | .) continue ;; ..) at=${at%/*} && continue ;; esac
        at=$at/$name
        case $at in *[[:cntrl:]]*) why="control characters in a name" && return 1 ;; esac
        if [ ! -e "$at" ] && [ ! -L "$at" ]; then
            absent=$at why=${open:-"$at does not exist"} && return 1
        fi
        look_at "$at" || return 1
        if [ -L "$at" ]; then follow || return 1; fi
    done
    why=$open
    [ -z "$why" ]
}

# if_there ASK PATH: as `trusts` or `trusts_all` says, or nothing is there and nobody else can put
# anything there. Where everyone can, it could have been there before and come back.
if_there() { "$@" || { [ "$absent" ] && [ -z "$open" ] && why=; }; }

# follow: goes on where the link $at leads.
follow() {
    links=$((links + 1))
    if [ "$links" -gt 40 ]; then why="$at is a link that leads to no end" && return 1; fi
    target=$(readlink "$at" && echo _) || return 1
    target=${target%?_}
    case $target in /*) at= ;; *) at=${at%/*} ;; esac
    rest=$target${rest:+/$rest}
}

# look_at PATH: judges it once. A directory that everyone can write to is as lasting as one that nobody
# else can: what may be done to it is up to its owner and to what it lies in.
# shellcheck disable=SC2034,SC2046
look_at() {
    case $judged in
    *"$end$1$end"*) ;;
    *) judge "$1" $(ls -ldn -- "$1") || return 1
        judged=$judged$1$end
        if [ "$open" ]; then shared=$shared$1$end; fi
        if [ "$shut" ]; then closed=$closed$1$end; fi ;;
    esac
    open=
    case $shared in *"$end$1$end"*) open="everyone can write to $1" ;; esac
    case $closed in *"$end$1$end"*) private=yes ;; esac
} 2>/dev/null

# judge PATH MODE LINKS OWNER GROUP...: the rule, for one line of `ls -ldn`. Where files can only be
# removed by their owners (sticky), the next name on the way decides, so that $open is set. $shut is
# set where some user cannot pass or run it.
judge() {
    open='' shut=
    case $owners in
    *" ${4:-unknown} "*) ;;
    *) why="$1 belongs to $(called passwd "$4")" && return 1 ;;
    esac
    case $2 in
    l* | ?????[!w]??[!w]*) ;;
    d????????[tT]*) open="everyone can write to $1" ;;
    ????????w*) why="everyone can write to $1" && return 1 ;;
    *+) why="an ACL lets others write to $1" && return 1 ;;
    *) case $writers in
        *" $5 "*) ;;
        *) why="group $(called group "$5") can write to $1" && return 1 ;;
        esac ;;
    esac
    case $2 in l* | ?????????[xt]*) ;; *) shut=yes ;; esac
}

# called DATABASE NUMBER: the name of a user or group, and its number.
called() {
    name=$(getent "$1" "${2:-unknown}" | cut -d : -f 1)
    echo "${name:-unknown} (${2:-no number})"
}

# trusts_all PATH [OPTION...]: the same of all that lies in it, as far as find goes with these options,
# and of the way to what links in it lead to. What is root's and nobody else can write to is not listed.
trusts_all() {
    trusts "$1" || return 1
    shift
    why=$(listing "$@" | first_distrusted)
    [ -z "$why" ]
} 2>/dev/null

# A name with a line break has more lines than its first, which say nothing. It, or an arrow in a name,
# would hide where a link leads.
listing() (
    export LC_ALL=C QUOTING_STYLE=literal TIME_STYLE=iso
    find "$at" "$@" \( -type l \( -path '*[[:cntrl:]]*' -o -path '* -> *' \) -exec echo odd \; \) -o \
        \( -type l -o ! -user 0 -o -perm -20 -o -perm -2 \) -exec ls -ldn -- {} + ||
        echo unread
)

# first_distrusted: why, for the first line of a listing that is not trusted.
first_distrusted() {
    while read -r mode links owner group rest; do
        path=/${rest#*/}
        path=${path%% -> *}
        case $mode in
        unread) why="some of it cannot be looked at" ;;
        odd) why="a link in $at has an odd name" ;;
        [-bcdlps]?????????*) judge "$path" "$mode" "$links" "$owner" "$group" || break ;;
        esac
        case $mode$rest in l*' -> '*/*) if_there trusts "$path" ;; esac
        why=${why:-$open}
        if [ "$why" ]; then break; fi
    done
    echo "$why"
}
