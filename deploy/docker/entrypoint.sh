#!/bin/sh
# Runs the command given. When TLS is on and no readable certificate is named, a self-signed one is made first,
# unless KYRODB_AUTO_GENERATE_TLS is off: encrypted at once, to be replaced by a real certificate.
set -eu

on() {
    case "$(printf '%s' "${1:-}" | tr '[:upper:]' '[:lower:]')" in
        1 | true | yes | on) return 0 ;;
        *) return 1 ;;
    esac
}

if on "${KYRODB__SERVER__TLS__ENABLED:-}" && on "${KYRODB_AUTO_GENERATE_TLS:-true}"; then
    directory="${KYRODB_GENERATED_TLS_DIR:-/etc/kyrodb/tls}"
    certificate="${KYRODB__SERVER__TLS__CERT_PATH:-$directory/server.crt}"
    key="${KYRODB__SERVER__TLS__KEY_PATH:-$directory/server.key}"
    if [ ! -r "$certificate" ] || [ ! -r "$key" ]; then
        name="${KYRODB_TLS_COMMON_NAME:-localhost}"
        umask 077
        mkdir -p "$(dirname "$certificate")" "$(dirname "$key")"
        openssl req -x509 -newkey rsa:2048 -nodes -sha256 \
            -days "${KYRODB_TLS_VALIDITY_DAYS:-30}" \
            -subj "/CN=$name" -addext "subjectAltName=DNS:$name,DNS:localhost,IP:127.0.0.1" \
            -keyout "$key" -out "$certificate" 2>/dev/null
        echo "made a self-signed certificate for $name: $certificate" >&2
    fi
    export KYRODB__SERVER__TLS__CERT_PATH="$certificate"
    export KYRODB__SERVER__TLS__KEY_PATH="$key"
fi

exec "$@"
