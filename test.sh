#!/usr/bin/env bash
# All tests: sets up what is missing, builds, runs ctest. The last line is `N passed, N failed, N
# skipped`. Arguments go to ctest (for example -L unit, -R golden).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
tests/setup.sh cpu all
exec tests/ctest.sh build/cpu "$@"
