#!/usr/bin/env bash
# tests/setup.sh PRESET TARGET…: makes this machine and build/PRESET ready, and says nothing
# where they are. Called by run.sh, test.sh and .ci/run. A stamp names the sources that were built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=$1
shift
what=$*
folder=build/$preset

# Debian package | a file that it brings | why it is needed
packages="
g++|/usr/bin/g++|the compiler
cmake|/usr/bin/cmake|the build
ninja-build|/usr/bin/ninja|the build
git|/usr/bin/git|the commit in --version, and the house rules' list of files
ccache|/usr/bin/ccache|faster repeated builds
libgloo-dev|/usr/share/cmake/Gloo/GlooConfig.cmake|ranks over TCP
libboost-dev|/usr/include/boost/asio.hpp|the store where ranks meet (Asio)
libboost-program-options-dev|/usr/lib/MACHINE-linux-gnu/libboost_program_options.a|the command line
libyaml-cpp-dev|/usr/include/yaml-cpp/yaml.h|scenario files
nlohmann-json3-dev|/usr/include/nlohmann/json.hpp|goldens and reports
libfmt-dev|/usr/include/fmt/format.h|text
libxxhash-dev|/usr/include/xxhash.h|digests of outputs
libssl-dev|/usr/include/openssl/evp.h|digests of scenarios
libdnnl-dev|/usr/include/oneapi/dnnl/dnnl.hpp|the experts' products
opencl-headers|/usr/include/CL/cl.h|ranks on OpenCL devices
ocl-icd-opencl-dev|/usr/lib/MACHINE-linux-gnu/libOpenCL.so|ranks on OpenCL devices
pocl-opencl-icd|/etc/OpenCL/vendors/pocl.icd|an OpenCL device where there is no GPU's
catch2|/usr/include/catch2/catch.hpp|tests
python3|/usr/bin/python3|the second oracle and tests
python3-numpy|/usr/lib/python3/dist-packages/numpy/__init__.py|the second oracle
python3-yaml|/usr/lib/python3/dist-packages/yaml/__init__.py|the second oracle
python3-xxhash|/usr/lib/python3/dist-packages/xxhash/__init__.py|the second oracle
clang-format|/usr/bin/clang-format|the formatter's check in .ci/run
"

install_missing() {
  local missing=() package file why
  while IFS='|' read -r package file why; do
    file=${file//MACHINE/$(uname -m)}
    if [ -n "$package" ] && [ ! -e "$file" ]; then
      echo "moebius: needs the Debian package $package: $why" >&2
      missing+=("$package")
    fi
  done <<<"$packages"
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  local as_root=(env)
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  if ! command -v apt-get >/dev/null || ! command -v "${as_root[0]}" >/dev/null; then
    echo "moebius: cannot install them: that takes apt-get, as root or with sudo." >&2
    echo "moebius: install by hand: ${missing[*]}" >&2
    exit 2
  fi
  local install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" DEBIAN_FRONTEND=noninteractive "${install[@]}"; } >&2; then
    echo "moebius: apt-get failed (above); install by hand: ${missing[*]}" >&2
    exit 2
  fi
}

# What the build depends on, in one line: names, sizes and times of all sources.
state() {
  find CMakeLists.txt CMakePresets.json sim comm backends kernels golden tests \
    \( -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name '*.def' \
    -o -name '*.cl' -o -name '*.in' -o -name 'CMake*' \) \
    -printf '%p %s %T@\n' | LC_ALL=C sort | cksum
  echo "$what"
}

stamp=$folder/ready-${what// /-}
if [ -e "$stamp" ] && [ "$(state)" = "$(cat "$stamp")" ]; then exit 0; fi
install_missing
export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
# Or ccache leaves out what is compiled with precompiled headers.
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
log=$folder/setup.log
mkdir -p "$folder"
echo "moebius: building $folder (log: $log)" >&2
if ! { cmake --preset "$preset" && cmake --build "$folder" --target "$@"; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "moebius: the build failed; the whole log is $log" >&2
  exit 2
fi
state >"$stamp"
