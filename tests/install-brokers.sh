#!/bin/sh
# Installs the Mosquitto broker that the tests and benchmarks need, from Debian's or Ubuntu's packages, where it is
# missing. Uses root or `sudo -n`; where neither is at hand it says what to install, and exits 1.
set -eu

PATH="$PATH:/usr/sbin:/usr/local/sbin"
if command -v mosquitto >/dev/null && command -v mosquitto_passwd >/dev/null; then
    exit 0
fi

give_up() {
    echo "The tests need the Mosquitto broker and its clients: $1" >&2
    echo "Install them, e.g.: sudo apt-get install mosquitto mosquitto-clients" >&2
    exit 1
}

command -v apt-get >/dev/null || give_up "there is no apt-get here to install them with."
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    give_up "installing them takes root, or sudo without a password."
fi

echo "Installing mosquitto and mosquitto-clients ..."
# A service of the machine must not start just because the tests want the program.
policy=/usr/sbin/policy-rc.d
made_policy=""
if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
status=0
{
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        mosquitto mosquitto-clients >/dev/null
} || status=$?
[ -z "$made_policy" ] || $as_root rm -f "$policy"
[ "$status" -eq 0 ] || give_up "apt-get failed (status $status)."
command -v mosquitto >/dev/null || give_up "apt-get put no mosquitto program here."
