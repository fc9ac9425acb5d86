# Of a root directory, by the rule of trust.sh.

# trusts_root: the same of everything under the root that is run or believed.
trusts_root() {
    for place in "$root" "$root"/bin/* "$root"/lib/* "$root"/pythons "$root"/cache/* \
        "$root/state.json" "$root/.lock" "$root/certificates.pem" "$root/current" \
        "$root"/environments/* "$root"/envs/*/pyvenv.cfg "$root"/envs/*/pylock.toml \
        "$root"/envs/*/lib/python3*/site-packages; do
        trusts "$place" || return 1
    done
}
