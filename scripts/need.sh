#!/bin/sh
# Installs the Debian packages that the given jobs need and that are not there; without the right to, says which.
#   scripts/need.sh build     what compiles the workspace
#   scripts/need.sh test      what its tests use on top
set -eu
missing=

need() { # need PACKAGE COMMAND...: the package is missing when the command fails
  package=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $package"
}
tool() { command -v "$1"; }
daemon() { tool "$1" || test -x "/usr/sbin/$1"; }
postgresql() { ls /usr/lib/postgresql/*/bin/initdb; }

for job in "$@"; do
  case $job in
    build)
      need gcc tool cc
      need libc6-dev test -e /usr/include/stdio.h
      need curl tool curl
      need libssl-dev test -e /usr/include/openssl/ssl.h
      need pkg-config tool pkg-config ;;
    test)
      need g++ tool c++
      need nghttp2-client tool h2load
      need openssl tool openssl
      need postgresql postgresql
      need python3-venv python3 -c 'import ensurepip'
      need procps tool ps
      need haproxy daemon haproxy
      need dnsmasq-base daemon dnsmasq
      need bind9-dnsutils tool dig ;;
    *) echo "need.sh: no job $job" >&2; exit 2 ;;
  esac
done

command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs" >&2; exit 1; }
command -v python3 >/dev/null || missing="$missing python3"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "missing packages:$missing" >&2
  echo "install them as root: apt-get install$missing" >&2
  exit 1
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# the server is started by the tests themselves; no cluster of the machine's own is wanted
[ -d /etc/postgresql-common ] || { mkdir -p /etc/postgresql-common; echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf; }
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
