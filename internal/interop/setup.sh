#!/bin/sh
# Installs on Debian what the tests of this folder need; what is there already is left alone. It wants root, or sudo
# without a password. Without either it says so; that is an error where CI=true only.
set -eu
cd "$(dirname "$0")/../.."

# One package a line.
packages='
ca-certificates
curl
gcc
libc6-dev
libnet-ssleay-perl
opendkim
opendkim-tools
openssl
postfix
python3
python3-dkim
rbldnsd
redis-server
swaks
unbound
'
# Exim's package conflicts with Postfix's, so it is unpacked into a folder; these are the libraries it wants.
exim_packages='
exim4-base
exim4-config
exim4-daemon-light
'
exim_libraries='
libdb5.3
libgnutls-dane0
libidn12
libnsl2
libpcre2-8-0
'
exim=.cache/exim

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

missing=
for p in $packages $exim_libraries; do
	installed "$p" || missing="$missing $p"
done
unpacked=yes
[ -x $exim/usr/sbin/exim4 ] && getent passwd Debian-exim >/dev/null || unpacked=
[ -z "$missing" ] && [ -n "$unpacked" ] && exit

if [ "$(id -u)" -ne 0 ]; then
	if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		exec sudo -n CI="${CI:-}" "$0"
	fi
	echo "setup.sh: neither root nor sudo, so the tests lack:$missing${unpacked:- exim4}" >&2
	[ "${CI:-}" != true ]
	exit
fi

# No daemon starts because its package is installed; the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi

export DEBIAN_FRONTEND=noninteractive
apt-get -q update </dev/null
command -v debconf-set-selections >/dev/null &&
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
# shellcheck disable=SC2086
[ -z "$missing" ] || apt-get -q -y -o DPkg::Lock::Timeout=600 --no-install-recommends install $missing </dev/null
# Nor with the next start of the machine.
for p in $missing; do
	units=$(dpkg -L "$p" | sed -n 's|^.*/systemd/system/\([^/@]*\.s[a-z]*\)$|\1|p')
	# shellcheck disable=SC2086
	[ -z "$units" ] || ! command -v systemctl >/dev/null || systemctl -q disable $units
done
[ -z "$unpacked" ] || exit 0

rm -rf $exim
mkdir -p $exim
(
	cd $exim
	# shellcheck disable=SC2086
	apt-get -q -o APT::Sandbox::User=root download $exim_packages
	for deb in *.deb; do
		dpkg -x "$deb" .
	done
	rm -f ./*.deb
	chmod u-s usr/sbin/exim4 # the tests run it without privileges
)
# Exim was compiled to look its user up, and does not start without.
getent passwd Debian-exim >/dev/null || useradd --system --no-create-home --shell /usr/sbin/nologin Debian-exim
$exim/usr/sbin/exim4 -C /dev/null -bV >/dev/null 2>&1 || {
	echo 'setup.sh: Exim was unpacked, but does not run' >&2
	exit 1
}
