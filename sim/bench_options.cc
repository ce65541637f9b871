// One table of options: word, value, help, and what it sets. Shapes have names, so that nobody has
// to remember a model's numbers (experts-and-oracles.md, 16).

#include "sim/bench_options.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "comm/makers.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "sim/command_options.h"
#include "sim/registry.h"
#include "sim/row_named.h"

namespace moe::sim {
namespace {

const std::vector<BenchShape>& named_shapes() {
  static const std::vector<BenchShape> shapes = {
      {"small", 2048, 512, 32, 4},
      {"mixtral", 4096, 14336, 8, 2},
      {"deepseek-v2-lite", 2048, 1408, 64, 6},
      {"deepseek-v3", 7168, 2048, 256, 8},
      {"qwen3", 2048, 768, 128, 8},
      {"qwen3-235b", 4096, 1536, 128, 8},
      {"gpt-oss-20b", 2880, 2880, 32, 4},
      {"olmoe", 2048, 1024, 64, 8},
      {"granite", 1024, 512, 32, 8},
  };
  return shapes;
}

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const BenchShape& shape : named_shapes()) names.push_back(shape.name);
  return names;
}

int number(const std::string& option, const std::string& word, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < 1 || value > most) {
    throw ScenarioError(text(option, ": '", word, "' is no number from 1 to ", most));
  }
  return value;
}

// Words between commas, at least one.
std::vector<std::string> listed(const std::string& words) {
  std::vector<std::string> list;
  std::istringstream parts(words);
  for (std::string part; std::getline(parts, part, ',');) list.push_back(part);
  if (list.empty()) list.emplace_back();
  return list;
}

// A name, or hidden x intermediate x experts x top_k.
BenchShape shape_of(const std::string& word) {
  for (const BenchShape& shape : named_shapes()) {
    if (shape.name == word) return shape;
  }
  std::vector<int> sizes;
  std::istringstream parts(word);
  const bool has_sizes = !word.empty() && word.front() >= '0' && word.front() <= '9';
  for (std::string part; has_sizes && std::getline(parts, part, 'x');) {
    sizes.push_back(number("--shape " + word, part, 1 << 20));
  }
  if (sizes.size() != 4) {
    if (!has_sizes) chosen("--shape", word, shape_names());
    throw ScenarioError(text("--shape ", word, ": four numbers, hidden x intermediate x experts x ",
                             "top_k as in 2048x512x32x4, or one of ", joined(shape_names())));
  }
  if (sizes[3] > sizes[2]) {
    throw ScenarioError(text("--shape ", word, ": top-", sizes[3], " of ", sizes[2], " experts"));
  }
  return {word, sizes[0], sizes[1], sizes[2], sizes[3]};
}

struct Option {
  std::string word;
  std::string value;  // empty: takes none
  std::string help;
  void (*set)(BenchCommand& bench, const std::string& word);
};

template <typename Rows>
std::string name_in(const std::string& what, const Rows& rows, const std::string& word) {
  return std::string(row_named(what, rows, word).name);
}

RanksAre ranks_named(const std::string& word) {
  return chosen("--ranks", word, {"threads", "processes"}) == "threads" ? RanksAre::threads
                                                                        : RanksAre::processes;
}

void set_shapes(BenchCommand& bench, const std::string& words) {
  bench.shapes.clear();
  for (const std::string& shape : listed(words)) bench.shapes.push_back(shape_of(shape));
  bench.settings.shape = bench.shapes.front();
}

const std::vector<Option>& options() {
  static const std::vector<Option> all = {
      {"--shape", "A,B", "hidden x intermediate x experts x top_k as in 2048x512x32x4, or names",
       [](BenchCommand& b, const std::string& w) { set_shapes(b, w); }},
      {"--tokens", "N,M", "rows of each rank (512), each with each shape",
       [](BenchCommand& b, const std::string& w) {
         b.tokens.clear();
         for (const std::string& n : listed(w)) b.tokens.push_back(number("--tokens", n, 1 << 20));
         b.settings.num_tokens = b.tokens.front();
       }},
      {"--only", "moves", "dispatch and combine alone, without experts and their weights",
       [](BenchCommand& b, const std::string& w) {
         chosen("--only", w, {"moves"});
         b.settings.of = BenchOf::moves;
       }},
      {"--world-size", "N", "ranks (2)",
       [](BenchCommand& b, const std::string& w) {
         b.settings.world_size = number("--world-size", w, 64);
       }},
      {"--backend", "NAME", "all2all backend (allgather_reducescatter); fixed room fits --tokens",
       [](BenchCommand& b, const std::string& w) {
         b.settings.backend = name_in("backend", registry(), std::string(emulation_of(w)));
       }},
      {"--device", "KIND", "cpu, cuda (cpu)",
       [](BenchCommand& b, const std::string& w) {
         b.settings.device =
             chosen("--device", w, {"cpu", "cuda"}) == "cuda" ? DeviceKind::cuda : DeviceKind::cpu;
       }},
      {"--communicator", "NAME", "local, gloo, nccl (gloo; on cuda nccl)",
       [](BenchCommand& b, const std::string& w) {
         b.settings.communicator = name_in("communicator", communicator_makers(), w);
       }},
      {"--ranks", "HOW", "threads, processes (gloo: processes; local: threads)",
       [](BenchCommand& b, const std::string& w) { b.settings.ranks = ranks_named(w); }},
      {"--dtype", "TYPE", "bf16, f16, f32 (bf16)",
       [](BenchCommand& b, const std::string& w) {
         b.settings.dtype = dtype_named(chosen("--dtype", w, {"bf16", "f16", "f32"})).value();
       }},
      {"--pin", "", "rank r on core r, modulo the cores",
       [](BenchCommand& b, const std::string&) { b.settings.pinning = Pinning::one_core_each; }},
      {"--iterations", "N", "samples of each stage (30)",
       [](BenchCommand& b, const std::string& w) {
         b.settings.iterations = number("--iterations", w, 1000000);
       }},
      {"--deadline", "MS", "longest wait for a rank (60000)",
       [](BenchCommand& b, const std::string& w) {
         b.settings.deadline_ms = number("--deadline", w, 1 << 30);
       }},
      {"--peer", "torch",
       "run the same layer on torch.distributed beside it, turn by turn (bf16 and f32)",
       [](BenchCommand& b, const std::string& w) { b.peer = chosen("--peer", w, {"torch"}); }},
      {"--operators", "",
       "time one device's operators instead, at --shape and --tokens or at sizes of its own",
       [](BenchCommand& b, const std::string&) { b.operators = true; }},
      {"--json", "FILE|-", "write JSON, an object for each result; - is standard output",
       [](BenchCommand& b, const std::string& w) { b.json = w; }},
      {"--results", "FILE", "add a table in Markdown to the file, with commit, machine and command",
       [](BenchCommand& b, const std::string& w) { b.results = w; }},
  };
  return all;
}

const Option& option_named(const std::string& word) {
  std::vector<std::string> known;
  for (const Option& option : options()) {
    if (option.word == word) return option;
    known.push_back(option.word);
  }
  chosen("unknown option", word, known);
  throw ScenarioError("unknown option " + word);
}

// What the backend cannot take of this world: all ranks are data parallel and share the experts.
void check_backend(const BenchSettings& settings) {
  const Capabilities& capabilities = backend_named(settings.backend).backend->capabilities;
  const auto& [name, hidden, intermediate, num_experts, top_k] = settings.shape;
  const auto refuse = [&](const std::string& why) {
    throw ScenarioError(text("--backend ", settings.backend, ": it ", why));
  };
  if (!capabilities.moves_between_dp_ranks && settings.world_size > 1) {
    refuse(text("moves nothing between ranks, and here ", settings.world_size,
                " share the experts; --world-size 1 can be measured"));
  }
  const std::string refusal =
      refusal_of(capabilities, {.num_ranks = settings.world_size,
                                .hidden_size = hidden,
                                .dtype = settings.dtype,
                                .top_k = top_k,
                                .num_experts = num_experts,
                                .max_num_tokens = bench_capacity(settings, capabilities)});
  if (!refusal.empty()) refuse(refusal);
}

// Operators have no ranks, and their own type and tables: what would be passed over is refused.
void check_operators(BenchCommand& bench, const std::vector<std::string>& said) {
  const std::vector<std::string> taken = {"--operators", "--device",     "--shape",
                                          "--tokens",    "--iterations", "--json"};
  for (const std::string& option : said) {
    if (std::ranges::count(taken, option) > 0) continue;
    throw ScenarioError(text(option, " means nothing to --operators, which takes ",
                             joined(std::vector(taken.begin() + 1, taken.end()))));
  }
  bench.settings.communicator = "local";
  bench.settings.world_size = 1;
}

// Options that must fit one another.
void check_together(BenchCommand& bench, bool says_ranks, bool says_communicator) {
  BenchSettings& settings = bench.settings;
  if (bench.results == "-") {
    throw ScenarioError("--results -: it adds to a file; --json - is standard output");
  }
  refuse_same_place({"--json", bench.json}, {"--results", bench.results});
  const DeviceMaker& device = device_maker(settings.device);
  const std::string kind(name_of(settings.device));
  if (!device.absence().empty())
    throw ScenarioError(text("--device ", kind, ": ", device.absence()));
  if (settings.device != DeviceKind::cpu && !says_communicator) settings.communicator = "nccl";
  const auto& maker = row_named("communicator", communicator_makers(), settings.communicator);
  if (maker.make == nullptr || !moves_memory_of(maker, settings.device)) {
    throw ScenarioError(text("--communicator ", settings.communicator, ": ",
                             maker.make == nullptr ? maker.absence : "moves no rows of " + kind));
  }
  if (settings.of == BenchOf::layer && !device.products_absence().empty()) {
    throw ScenarioError(text("bench times experts with products, which need ", device.products,
                             ": ", device.products_absence()));
  }
  if (maker.one_device_each && settings.world_size > device.count()) {
    throw ScenarioError(text("--communicator ", settings.communicator, ": ", settings.world_size,
                             " ranks need as many ", kind, " devices, this machine has ",
                             device.count()));
  }
  if (!maker.needs_store && !says_ranks) settings.ranks = RanksAre::threads;
  if (!maker.needs_store && settings.ranks == RanksAre::processes) {
    throw ScenarioError(text("--communicator ", settings.communicator, " needs --ranks threads"));
  }
  for (const BenchSettings& one : bench.all()) {
    if (one.shape.num_experts < one.world_size) {
      throw ScenarioError(text(one.shape.num_experts, " experts on ", one.world_size,
                               " ranks: bench wants one for each"));
    }
    check_backend(one);
  }
  if (bench.peer.empty()) return;
  if (bench.all().size() > 1) throw ScenarioError("--peer torch: one shape and number of tokens");
  if (settings.of == BenchOf::moves) throw ScenarioError("--peer torch runs whole layers");
  if (settings.device != DeviceKind::cpu) throw ScenarioError("--peer torch runs on cpu only");
  if (settings.dtype == DType::f16) throw ScenarioError("--peer torch knows bf16 and f32");
  if (settings.shape.num_experts % settings.world_size != 0) {
    throw ScenarioError(text("--peer torch wants as many experts on every rank, not ",
                             settings.shape.num_experts, " on ", settings.world_size));
  }
}

}  // namespace

std::string bench_help() {
  std::ostringstream out;
  out << "usage: moebius bench [options]\n\n"
         "Times route, dispatch, experts, combine and the whole layer on real ranks, checks and\n"
         "poison off. Each starts after a barrier of its own, and its sample is the largest over\n"
         "the ranks; the layer has none inside. Limits are measured in the same run: the same\n"
         "collective calls on kept buffers, the same products without a layer around them.\n"
         "On a device its own clock says as well what calls take that are queued one behind the\n"
         "other, and calls that are recorded as a graph and replayed.\n\n"
         "options\n";
  for (const Option& option : options()) {
    const std::string left = option.value.empty() ? option.word : option.word + " " + option.value;
    out << "  " << left << std::string(left.size() < 22 ? 22 - left.size() : 1, ' ') << option.help
        << "\n";
  }
  out << "  --help                print this\n\nshapes: " << joined(shape_names()) << "\n";
  return out.str();
}

std::optional<BenchCommand> bench_options(const std::vector<std::string>& arguments) {
  BenchCommand bench;
  bench.settings.shape = named_shapes().front();
  bench.shapes = {bench.settings.shape};
  bench.tokens = {bench.settings.num_tokens};
  bench.words = joined(arguments, " ");
  std::vector<std::string> said;
  for (auto word = arguments.begin(); word != arguments.end(); ++word) {
    if (*word == "--help") return std::nullopt;
    const std::size_t equals = word->find('=');
    const Option& option = option_named(word->substr(0, equals));
    std::string value;
    if (equals != std::string::npos) {
      value = word->substr(equals + 1);
    } else if (!option.value.empty()) {
      if (++word == arguments.end()) {
        throw ScenarioError(text(option.word, ": the value is missing, ", option.value));
      }
      value = *word;
    }
    if (value.empty() != option.value.empty()) {
      throw ScenarioError(text(option.word, " '", value, "': ",
                               value.empty() ? "a word is empty, " + option.value : "takes none"));
    }
    option.set(bench, value);
    said.push_back(option.word);
  }
  const auto says = [&](const std::string& option) { return std::ranges::count(said, option) > 0; };
  bench.says_sizes = says("--shape") || says("--tokens");
  if (bench.operators) check_operators(bench, said);
  check_together(bench, says("--ranks"), bench.operators || says("--communicator"));
  return bench;
}

std::vector<BenchSettings> BenchCommand::all() const {
  std::vector<BenchSettings> all;
  for (const BenchShape& shape : shapes) {
    for (const Count num_tokens : tokens) {
      BenchSettings& one = all.emplace_back(settings);
      one.shape = shape;
      one.num_tokens = num_tokens;
    }
  }
  return all;
}

BenchRankPlace bench_rank_options(const std::vector<std::string>& arguments) {
  if (arguments.size() != 3) throw ScenarioError("bench-rank: started by moebius bench itself");
  return {store_address(arguments[0]), arguments[1], number("rank", arguments[2], 1 << 20) - 1};
}

}  // namespace moe::sim
