// The one file that knows yaml-cpp: its events become our tree, its errors our ScenarioError.
// Anchors are copied where they are used, and counted: nodes_max bounds what aliases expand to.

#include "sim/yaml_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/text.h"
#include "sim/input_file.h"
#include "sim/utf8.h"

namespace moe::sim {
namespace {

constexpr int depth_max = 32;
constexpr int nodes_max = 50'000;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

[[noreturn]] void refuse(const YamlNode& node, const std::string& why) {
  throw ScenarioError(text(node.place(), ": ", why));
}

int count_nodes(const YamlNode& node) {
  int count = 1;
  for (const YamlNode& item : node.items) count += count_nodes(item);
  for (const YamlEntry& entry : node.entries) count += 1 + count_nodes(entry.value);
  return count;
}

int depth_of(const YamlNode& node) {
  int deepest = 0;
  for (const YamlNode& item : node.items) deepest = std::max(deepest, depth_of(item));
  for (const YamlEntry& entry : node.entries) deepest = std::max(deepest, depth_of(entry.value));
  return deepest + 1;
}

// Builds the tree from yaml-cpp's events with a stack of the collections that are still open.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view content, std::string file)
      : content_(content), file_(std::move(file)) {
    line_starts_.push_back(content.starts_with(byte_order_mark) ? byte_order_mark.size() : 0);
    for (std::size_t i = 0; i < content.size(); ++i) {
      if (content[i] == '\n') line_starts_.push_back(i + 1);
    }
  }

  YamlNode take_root() { return std::move(root_); }
  int num_documents() const { return num_documents_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++num_documents_ > 1) refuse(at(mark), "a second document starts: a file holds one");
  }
  void OnDocumentEnd() override {}
  // The mark of an empty value is that of whatever comes next: its key is a better place.
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node = at(mark);
    if (!stack_.empty() && stack_.back().has_key) {
      node.line = stack_.back().key.line;
      node.column = stack_.back().key.column;
    }
    add(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchored_.find(anchor);
    if (found == anchored_.end()) refuse(at(mark), "an alias inside the value it stands for");
    count(at(mark), count_nodes(found->second));
    check_depth(at(mark), depth_of(found->second));
    place(YamlNode(found->second));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = at(mark);
    if (tag != "?" && tag != "!") refuse(node, text("the tag ", tag, " is not understood here"));
    node.scalar = value;
    node.quoted = tag == "!";
    if (node.quoted && !is_closed(mark)) refuse(node, "the quotation mark is never closed");
    add(std::move(node), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(at(mark), YamlKind::sequence, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(at(mark), YamlKind::map, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor = YAML::NullAnchor;
    YamlNode key;
    bool has_key = false;
    std::map<std::string, int> key_lines;
  };

  YamlNode at(const YAML::Mark& mark) const {
    YamlNode node;
    node.file = file_;
    node.line = std::max(mark.line + 1, 1);
    node.column = std::max(mark.column + 1, 1);
    return node;
  }

  // yaml-cpp takes the end of the file for the end of a quoted text. A block text has no quotes.
  bool is_closed(const YAML::Mark& mark) const {
    const auto line = std::min(static_cast<std::size_t>(mark.line), line_starts_.size() - 1);
    std::size_t at = line_starts_[line] + static_cast<std::size_t>(mark.column);
    const char quote = at < content_.size() ? content_[at] : '\0';
    if (quote != '"' && quote != '\'') return true;
    for (++at; at < content_.size(); ++at) {
      const bool doubled = quote == '\'' && content_.substr(at, 2) == "''";
      const bool escaped = quote == '"' && content_[at] == '\\';
      if (content_[at] == quote && !doubled) return true;
      if (doubled || escaped) ++at;
    }
    return false;
  }

  void count(const YamlNode& node, int more) {
    num_nodes_ += more;
    if (num_nodes_ > nodes_max) {
      refuse(node, text("the file has more than ", nodes_max, " values, aliases written out"));
    }
  }

  void check_depth(const YamlNode& node, int more) const {
    if (static_cast<int>(stack_.size()) + more > depth_max) {
      refuse(node, text("nested more than ", depth_max, " deep"));
    }
  }

  void open(YamlNode node, YamlKind kind, const std::string& tag, YAML::anchor_t anchor) {
    if (tag != "?" && tag != "") refuse(node, text("the tag ", tag, " is not understood here"));
    count(node, 1);
    check_depth(node, 1);
    node.kind = kind;
    stack_.push_back({std::move(node), anchor, {}, false, {}});
  }

  void close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    if (done.anchor != YAML::NullAnchor) anchored_[done.anchor] = done.node;
    place(std::move(done.node));
  }

  void add(YamlNode node, YAML::anchor_t anchor) {
    count(node, 1);
    if (anchor != YAML::NullAnchor) anchored_[anchor] = node;
    place(std::move(node));
  }

  void place(YamlNode node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == YamlKind::sequence) {
      parent.node.items.push_back(std::move(node));
    } else if (parent.has_key) {
      parent.node.entries.push_back({std::move(parent.key), std::move(node)});
      parent.has_key = false;
    } else {
      start_entry(parent, std::move(node));
    }
  }

  static void start_entry(Open& map, YamlNode key) {
    if (key.kind != YamlKind::scalar)
      refuse(key, text(described(key), " as a key: keys are words"));
    if (key.scalar.empty()) refuse(key, "a value without a key");
    const auto [first, is_first] = map.key_lines.emplace(key.scalar, key.line);
    if (!is_first) {
      refuse(key, text("the key '", key.scalar, "' is given twice, first at line ", first->second));
    }
    map.key = std::move(key);
    map.has_key = true;
  }

  std::string_view content_;
  std::vector<std::size_t> line_starts_;
  std::string file_;
  YamlNode root_;
  std::vector<Open> stack_;
  std::map<YAML::anchor_t, YamlNode> anchored_;
  int num_nodes_ = 0;
  int num_documents_ = 0;
};

}  // namespace

std::string YamlNode::place() const { return text(file, ":", line, ":", column); }

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key.scalar == key) return &entry.value;
  }
  return nullptr;
}

std::string described(const YamlNode& node) {
  if (node.kind == YamlKind::map) return "a map";
  if (node.kind == YamlKind::sequence) return node.items.empty() ? "an empty list" : "a list";
  if (node.scalar.empty() && !node.quoted) return "an empty value";
  return text("'", node.scalar.substr(0, 80), "'");
}

namespace {

// yaml-cpp speaks of maps without an end where a tab indents a line.
void refuse_tab(const std::string& content, const std::string& file, int last_line) {
  std::istringstream stream(content);
  std::string line;
  for (int number = 1; number <= last_line && std::getline(stream, line); ++number) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos || tab > line.find_first_not_of(" \t")) continue;
    throw ScenarioError(
        text(file, ":", number, ":", tab + 1, ": a tab indents the line: YAML takes spaces only"));
  }
}

}  // namespace

YamlNode parse_yaml(const std::string& content, const std::string& file) {
  check_utf8_text(content, file);
  std::istringstream stream(content);
  TreeBuilder builder(content, file);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    refuse_tab(content, file, error.mark.line + 1);
    throw ScenarioError(text(file, ":", std::max(error.mark.line + 1, 1), ":",
                             std::max(error.mark.column + 1, 1), ": ", error.msg));
  }
  if (builder.num_documents() == 0) throw ScenarioError(text(file, ":1:1: the file is empty"));
  return builder.take_root();
}

YamlNode read_yaml(const std::string& path) {
  return parse_yaml(read_input_text(path, yaml_bytes_max), path);
}

}  // namespace moe::sim
