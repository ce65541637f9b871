// The one door to Catch2: tests include this, so that a change of its major version is one edit.
// Ranks return values and the main thread asserts: Catch's macros are not thread-safe.

#pragma once

#include <catch2/catch.hpp>
