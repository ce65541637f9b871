// A place in a job from the words of an environment: each launcher's, which of them wins, where
// ranks meet, and what keeps two jobs apart. tests/process/joined_test.py starts the ranks.

#include "sim/job_place.h"

#include "tests/catch.h"
#include "tests/unit/sim/input_files.h"

using namespace moe;
using namespace moe::sim;
using Catch::Matchers::Contains;

namespace {

const Environment torch = {{"RANK", "1"},
                           {"WORLD_SIZE", "4"},
                           {"LOCAL_RANK", "0"},
                           {"MASTER_ADDR", "node7"},
                           {"MASTER_PORT", "29500"},
                           {"TORCHELASTIC_RUN_ID", "run"}};
const Environment slurm = {{"SLURM_PROCID", "2"},  {"SLURM_NTASKS", "3"},
                           {"SLURM_LOCALID", "1"}, {"SLURM_LAUNCH_NODE_IPADDR", "10.1.2.3"},
                           {"SLURM_JOB_ID", "77"}, {"SLURM_STEP_ID", "0"}};
const Environment open_mpi = {{"OMPI_COMM_WORLD_RANK", "5"},
                              {"OMPI_COMM_WORLD_SIZE", "6"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                              {"PMIX_NAMESPACE", "prterun-1@1"}};

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

std::string token_of(const Environment& environment) {
  return job_place(environment, StoreAddress{"here", 1})->token;
}

}  // namespace

TEST_CASE("job place: torchrun's words, and the port after its own") {
  const auto place = job_place(torch, {});
  REQUIRE(place);
  CHECK((place->rank == 1 && place->size == 4 && place->local_rank == 0));
  CHECK((place->store.host == "node7" && place->store.port == 29501));
  CHECK(place->words == "RANK=1, WORLD_SIZE=4");
}

TEST_CASE("job place: Slurm's words meet at the launching node unless MASTER_ADDR says where") {
  const auto place = job_place(slurm, {});
  REQUIRE(place);
  CHECK((place->rank == 2 && place->size == 3 && place->local_rank == 1));
  CHECK((place->store.host == "10.1.2.3" && place->store.port == 29501));
  const auto told = job_place(with(slurm, {{"MASTER_ADDR", "n1"}, {"MASTER_PORT", "5000"}}), {});
  CHECK((told->store.host == "n1" && told->store.port == 5001));
}

TEST_CASE("job place: Open MPI's words need an address, and --store comes before all") {
  CHECK_THROWS_WITH(job_place(open_mpi, {}), Contains("without MASTER_ADDR") &&
                                                 Contains("OMPI_COMM_WORLD_RANK=5") &&
                                                 Contains("--store HOST:PORT"));
  const auto place = job_place(open_mpi, StoreAddress{"10.0.0.1", 4000});
  CHECK((place->rank == 5 && place->size == 6 && place->local_rank == 1));
  CHECK((place->store.host == "10.0.0.1" && place->store.port == 4000));
  CHECK(job_place(torch, StoreAddress{"10.0.0.1", 4000})->store.port == 4000);
}

TEST_CASE("job place: torchrun before Open MPI before Slurm") {
  CHECK(job_place(with(with(slurm, open_mpi), torch), {})->size == 4);
  CHECK(job_place(with(slurm, open_mpi), StoreAddress{"here", 1})->size == 6);
}

TEST_CASE("job place: nowhere, and jobs of one rank") {
  CHECK_FALSE(job_place({}, {}));
  CHECK_FALSE(job_place({{"MASTER_ADDR", "node7"}, {"SLURM_NTASKS", "4"}}, {}));
  CHECK_FALSE(job_place({{"RANK", "0"}, {"WORLD_SIZE", "1"}}, {}));
  CHECK_THROWS_AS(job_place({{"RANK", "1"}, {"WORLD_SIZE", "1"}}, {}), ScenarioError);
  CHECK_THROWS_AS(job_place({}, StoreAddress{"here", 1}), ScenarioError);
}

TEST_CASE("job place: two jobs, two steps, two starts have two tokens; ranks of one job have one") {
  CHECK(token_of(torch) == token_of(with(torch, {{"RANK", "3"}, {"LOCAL_RANK", "2"}})));
  CHECK(token_of(slurm) == token_of(with(slurm, {{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}})));
  for (const auto& [environment, change] :
       {std::pair{torch, Environment{{"TORCHELASTIC_RUN_ID", "other"}}},
        std::pair{torch, Environment{{"TORCHELASTIC_RESTART_COUNT", "1"}}},
        std::pair{torch, Environment{{"WORLD_SIZE", "5"}}},
        std::pair{slurm, Environment{{"SLURM_JOB_ID", "78"}}},
        std::pair{slurm, Environment{{"SLURM_STEP_ID", "1"}}},
        std::pair{open_mpi, Environment{{"PMIX_NAMESPACE", "prterun-2@1"}}}}) {
    CAPTURE(change.begin()->first);
    CHECK(token_of(environment) != token_of(with(environment, change)));
  }
}

TEST_CASE("job place: a word that is no place is named with its value and a way out") {
  for (const auto& [name, value] : Environment{
           {"RANK", "4"}, {"WORLD_SIZE", "1e3"}, {"LOCAL_RANK", "4"}, {"MASTER_PORT", "0"}}) {
    CAPTURE(name, value);
    const std::string error = error_of([&] { job_place(with(torch, {{name, value}}), {}); });
    CHECK_THAT(error, Contains(name) && Contains(value) && Contains("--alone"));
  }
}
