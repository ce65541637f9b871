// Asked in the order in which a user would have to mend it: the backend, the device, its products,
// the communicator, how many devices there are.

#include "sim/lack.h"

#include <algorithm>
#include <utility>

#include "comm/makers.h"
#include "kernels/base/text.h"
#include "kernels/device_makers.h"
#include "sim/backend_choice.h"
#include "sim/row_named.h"

namespace moe::sim {

bool Lack::is_required(const std::vector<std::string>& required) const {
  return std::ranges::any_of(
      words, [&required](std::string_view word) { return std::ranges::count(required, word) > 0; });
}

Lack lack_of(const Scenario& scenario, const RunLine& line, bool is_one_machine) {
  const BackendChoice choice = backend_choice(scenario, line);
  if (choice.backend == nullptr) return {{}, choice.absence};
  const DeviceMaker& device = device_maker(line.device);
  const std::string_view name = name_of(device.kind);
  const CommunicatorMaker& maker =
      row_named("communicator", communicator_makers(), line.communicator);
  if (const std::string absence = device.absence(); !absence.empty()) {
    std::vector<std::string_view> words = {name};
    if (maker.device == device.kind) words.push_back(maker.name);  // none without the device
    return {std::move(words), text(name, ": ", absence)};
  }
  const std::string without_products = device.products_absence();
  if (scenario.model.kernel != ExpertKernel::probe && !without_products.empty()) {
    return {{name},
            text(name, ": experts with products need ", device.products, ", which is ",
                 without_products)};
  }
  if (maker.make == nullptr) return {{maker.name}, text(maker.name, ": ", maker.absence)};
  if (!moves_memory_of(maker, line.device)) {
    return {{maker.name}, text(maker.name, ": moves no rows of ", name)};
  }
  const int num_ranks = scenario.world.num_ranks();
  if (maker.one_device_each && is_one_machine && num_ranks > device.count()) {
    return {{},
            text(maker.name, ": ", num_ranks, " ranks need as many ", name,
                 " devices, this machine has ", device.count())};
  }
  return {};
}

}  // namespace moe::sim
