#!/bin/sh
# An interpreter of each supported version of CPython that is installed, one a line: "3.12 /usr/bin/python3.12".
# A name on the PATH counts only if it runs, which a shim of pyenv for another version does not.
set -eu
for version in 3.11 3.12 3.13; do
    for python in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
        found=$("$python" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) || continue
        if [ "${found%% *}" = "$version" ]; then
            echo "$found"
            break
        fi
    done
done
