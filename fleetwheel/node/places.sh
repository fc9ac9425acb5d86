# Of a root directory, by the rule of trust.sh.

# trusts_root: whether the root is there and to be trusted, with everything under it that is run or
# believed.
trusts_root() {
    trusts "$root" || return 1
    for place in "$root"/bin "$root"/bin/* "$root"/lib "$root"/lib/* "$root"/pythons "$root"/cache \
        "$root"/cache/* "$root"/state.json "$root"/.lock "$root"/certificates.pem "$root"/current \
        "$root"/environments "$root"/environments/* "$root"/envs "$root"/envs/*/pyvenv.cfg \
        "$root"/envs/*/pylock.toml "$root"/envs/*/lib/python3*/site-packages; do
        if_there trusts "$place" || return 1
    done
    if ls -ldn -- "$root" "$root"/*/ "$root"/*/*/ 2>/dev/null | grep -q '^d[^ ]*+'; then
        why="an ACL of $root or a directory in it can let others write to what is made there"
    fi
    [ -z "$why" ]
}
