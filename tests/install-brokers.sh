#!/bin/sh
# Installs the brokers that the tests and benchmarks need, Mosquitto and RabbitMQ, from Debian's or Ubuntu's packages,
# where they are missing. Uses root or `sudo -n`; where neither is at hand it says what to install, and exits 1.
# No service is left running or enabled: tests start brokers of their own.
set -eu

PATH="$PATH:/usr/sbin:/usr/local/sbin"
packages=""
command -v mosquitto >/dev/null && command -v mosquitto_passwd >/dev/null || packages="mosquitto mosquitto-clients"
# The tests start RabbitMQ by the program itself: the command on the PATH changes to the user rabbitmq.
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v epmd >/dev/null || packages="$packages rabbitmq-server"
[ -n "$packages" ] || exit 0

give_up() {
    echo "The tests need the brokers Mosquitto and RabbitMQ: $1" >&2
    echo "Install them, e.g.: sudo apt-get install mosquitto mosquitto-clients rabbitmq-server" >&2
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

echo "Installing" $packages "..."
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
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
} || status=$?
[ -z "$made_policy" ] || $as_root rm -f "$policy"
[ "$status" -eq 0 ] || give_up "apt-get failed (status $status)."
# Nor at the next start of the machine; epmd comes with Erlang.
if command -v systemctl >/dev/null; then
    case "$packages" in *"mosquitto "*) $as_root systemctl disable --quiet mosquitto 2>/dev/null || true ;; esac
    case "$packages" in *rabbitmq*)
        $as_root systemctl disable --quiet rabbitmq-server epmd.service epmd.socket 2>/dev/null || true ;;
    esac
fi
command -v mosquitto >/dev/null || give_up "apt-get put no mosquitto program here."
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || give_up "apt-get put no rabbitmq-server program here."
