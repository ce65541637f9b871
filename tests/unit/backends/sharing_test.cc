// Tags of how ranks hold a tensor: which sums are legal, what a sum leaves, what may leave a layer.
// One rank's arithmetic; sums over real ranks are in the properties.

#include "backends/parallel/sharing.h"
#include "kernels/base/buffer.h"
#include "tests/catch.h"

using namespace moe;
using Catch::Contains;

namespace {

// Of a rank in DP 2 x TP 2.
struct Tags {
  std::unique_ptr<Memory> memory = make_host_memory(Poison::on);
  Buffer expert_output{*memory, {5, 4, DType::f32}};
  Buffer output{*memory, {2, 4, DType::f32}};
  Buffer shared{*memory, {2, 4, DType::f32}};
  ParallelSizes sizes{.dp = 2, .tp = 2};
  SharingTags tags{sizes};

  void combine() {
    tags.made_by_experts(expert_output.tensor());
    tags.summed(expert_output.tensor(), output.tensor(), axes_of(GroupKind::dp, sizes),
                Sharing::token_sharded);
  }
  void reduce_over_tp() {
    tags.summed(output.tensor(), output.tensor(), axes_of(GroupKind::tp, sizes),
                Sharing::replicated);
  }
};

}  // namespace

TEST_CASE("sharing: combine over DP and one sum over TP make the output complete") {
  Tags layer;
  layer.combine();
  layer.reduce_over_tp();
  layer.tags.leave(layer.output.tensor());
  CHECK(layer.tags.take_violations().empty());
}

TEST_CASE("sharing: a second sum over TP is named, with the axis and what the rows are") {
  Tags layer;
  layer.combine();
  layer.reduce_over_tp();
  layer.reduce_over_tp();
  const std::vector<std::string> said = layer.tags.take_violations();
  REQUIRE(said.size() == 1);
  CHECK_THAT(said[0], Contains("[2, 4] f32") && Contains("summed over TP") &&
                          Contains("replicated") && Contains("only partial"));
  CHECK(layer.tags.take_violations().empty());  // said once
}

TEST_CASE("sharing: a sum over rows of different tokens is named") {
  Tags layer;
  layer.combine();
  layer.tags.summed(layer.output.tensor(), layer.output.tensor(),
                    axes_of(GroupKind::ep, layer.sizes), Sharing::replicated);
  const std::vector<std::string> said = layer.tags.take_violations();
  REQUIRE(said.size() == 1);  // TP was partial, and legal
  CHECK_THAT(said[0], Contains("over DP") && Contains("token-sharded"));
}

TEST_CASE("sharing: an output that is still partial must not leave") {
  Tags layer;
  layer.combine();
  layer.tags.leave(layer.output.tensor());
  const std::vector<std::string> said = layer.tags.take_violations();
  REQUIRE(said.size() == 1);
  CHECK_THAT(said[0], Contains("leaves the layer partial over TP"));
}

TEST_CASE("sharing: a replicated shared output added to a partial one is named") {
  Tags layer;
  layer.combine();
  layer.tags.tag(layer.shared.tensor(), {.dp = Sharing::token_sharded});
  layer.tags.added(layer.shared.tensor(), layer.output.tensor());
  const std::vector<std::string> said = layer.tags.take_violations();
  REQUIRE(said.size() == 1);
  CHECK_THAT(said[0], Contains("is replicated over TP") && Contains("are partial"));
  layer.tags.tag(layer.shared.tensor(), {.dp = Sharing::token_sharded, .tp = Sharing::partial});
  layer.tags.added(layer.shared.tensor(), layer.output.tensor());
  CHECK(layer.tags.take_violations().empty());
}

TEST_CASE("sharing: rows that nobody tagged are not summed in silence") {
  Tags layer;
  layer.reduce_over_tp();
  CHECK_THAT(layer.tags.take_violations().at(0), Contains("nothing says how"));
  layer.combine();
  layer.tags.begin_layer();  // the next layer's tensors may lie at the same places
  layer.reduce_over_tp();
  CHECK_THAT(layer.tags.take_violations().at(0), Contains("nothing says how"));
}

TEST_CASE("sharing: an idle rank has nothing to add wrongly") {
  Tags layer;
  const Buffer none(*layer.memory, {0, 4, DType::f32});
  layer.tags.summed(none.tensor(), none.tensor(), axes_of(GroupKind::tp, layer.sizes),
                    Sharing::replicated);
  layer.tags.added(none.tensor(), none.tensor());
  layer.tags.leave(none.tensor());
  CHECK(layer.tags.take_violations().empty());
}

TEST_CASE("sharing: what one of several owners hands on is partial again") {
  Tags layer;
  layer.tags.made_by_experts(layer.expert_output.tensor());
  layer.tags.summed(layer.expert_output.tensor(), layer.expert_output.tensor(),
                    axes_of(GroupKind::ep, layer.sizes), Sharing::replicated);
  layer.tags.copied(layer.expert_output.tensor(), layer.output.tensor());
  layer.tags.sharded(layer.output.tensor(), axes_of(GroupKind::dp, layer.sizes));
  layer.tags.handed_on_by_one(layer.output.tensor(), Axis::tp);
  layer.reduce_over_tp();
  layer.tags.leave(layer.output.tensor());
  CHECK(layer.tags.take_violations().empty());
}

TEST_CASE("sharing: a group joins the axes of more than one rank only") {
  CHECK(axes_of(GroupKind::ep, {.dp = 2, .tp = 3}) == Axes{Axis::dp, Axis::tp});
  CHECK(axes_of(GroupKind::ep, {.pcp = 2}) == Axes{Axis::pcp});
  CHECK(axes_of(GroupKind::tp, {.dp = 2}) == Axes{});
  CHECK(axes_of(GroupKind::dp, {.dp = 2, .tp = 3}) == Axes{Axis::dp});
}
