#!/usr/bin/env bash
# The main job: sets up what is missing, builds, and runs `moebius run`; with arguments, `moebius`
# with them. Used again it starts at once. tests/setup.sh knows the packages and the build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
tests/setup.sh cpu moebius
if [ $# -eq 0 ]; then set -- run; fi
exec build/cpu/sim/moebius "$@"
