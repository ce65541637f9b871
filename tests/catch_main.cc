// Catch2's main function, compiled once for all test programs.
// Nothing else belongs here.

#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
