#!/bin/sh
# certificates.sh FOLDER NAME...: an authority for tests and private networks, and a certificate for each NAME, by openssl.
# FOLDER has ca.pem and ca.key, kept where they are there; FOLDER/NAME has what one process needs and no other's secrets:
# certificate.pem and key.pem, made anew, and ca.pem. A certificate is good for DAYS days, as NAME, as localhost and at
# 127.0.0.1 (or for HOSTS, in the words of subjectAltName), for servers and for clients.
set -eu
umask 077
mkdir -p "$1"
cd "$1"
shift
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
quietly() { said=$("$@" 2>&1) || { echo "$said" >&2; exit 1; }; }
trap 'rm -f request.pem extensions' EXIT
if [ ! -s ca.key ]; then
    quietly openssl req -x509 $key -days 3650 -subj "/CN=JSCC-Link" -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem
fi
for name in "$@"; do
    mkdir -p "$name"
    quietly openssl req $key -subj "/CN=$name" -keyout "$name/key.pem" -out request.pem
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${HOSTS:-DNS:$name,DNS:localhost,IP:127.0.0.1}" > extensions
    quietly openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" -days "${DAYS:-365}" \
        -extfile extensions -out "$name/certificate.pem"
    cp ca.pem "$name/ca.pem"
done
