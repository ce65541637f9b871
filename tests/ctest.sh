#!/usr/bin/env bash
# tests/ctest.sh FOLDER [ctest options]: runs a built folder's tests and ends with one line that
# counts them: `N passed, N failed, N skipped`. Fails if a test failed or none ran.
set -uo pipefail
folder=$1
shift
report=$folder/ctest.xml
rm -f "$report"
ctest --test-dir "$folder" --output-on-failure -j 2 --output-junit ctest.xml "$@"
code=$?
[ -e "$report" ] || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
# The suite's own counts stand before the first test case.
count() { sed "/<testcase/q" "$report" | grep -o "[[:space:]]$1=\"[0-9]*\"" | tr -dc 0-9; }
all=$(count tests)
failed=$(count failures)
skipped=$(( $(count skipped) + $(count disabled) ))
passed=$((all - failed - skipped))
if [ "$passed" -eq 0 ]; then code=1; fi
echo "$passed passed, $failed failed, $skipped skipped"
exit "$code"
