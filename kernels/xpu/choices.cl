// Choices: ids looked up in maps, choices sorted by a small key with equal keys in the order of the
// choices, and what plans of rows and blocks are read from. A work item a key goes through all
// choices, so that no order depends on who comes first.

// The id of a masked choice is below 0. RETURNS -1 where the map has no slot.
int looked_up(global const int *map, long num_experts, int id, global uchar *refusal) {
  if (id < 0) return -1;
  if (id < num_experts) return map[id];
  refuse(refusal, REFUSED_EXPERT, 0, id, num_experts);
  return -1;
}

kernel void moe_local_ids(IN(ids), IN(map), long num_experts, OUT(local_ids), OUT(refusal),
                          ITEMS) {
  ITEM(i);
  WRITE(int, local_ids)[i] =
      looked_up(READ(int, map), num_experts, READ(int, ids)[i], WRITE(uchar, refusal));
}

// The key of a choice: its local expert; num_keys of a masked or foreign one, so that it sorts
// last. Without a map ids are keys already, and refused as what.
kernel void moe_keys(IN(ids), IN(map), long num_experts, int num_keys, int what, OUT(keys),
                     OUT(refusal), ITEMS) {
  ITEM(i);
  const int id = READ(int, ids)[i];
  int key = id;
  if (map_buffer != 0) {
    key = looked_up(READ(int, map), num_experts, id, WRITE(uchar, refusal));
  } else if (id >= num_keys) {
    refuse(WRITE(uchar, refusal), what, 0, id, num_keys);
    key = -1;
  }
  WRITE(int, keys)[i] = key < 0 ? num_keys : key;
}

// counts[key], for keys 0 to num_keys.
kernel void moe_count_keys(IN(keys), long num_choices, OUT(counts), ITEMS) {
  ITEM(key);
  int count = 0;
  for (long i = 0; i < num_choices; ++i) count += READ(int, keys)[i] == key ? 1 : 0;
  WRITE(int, counts)[key] = count;
}

// first[key]: where the key's choices start; as many as counts. One item.
kernel void moe_first_of_keys(IN(counts), int num_counts, OUT(first), ITEMS) {
  ITEM(only);
  int sum = 0;
  for (int key = 0; key < num_counts; ++key) {
    WRITE(int, first)[key] = sum;
    sum += READ(int, counts)[key];
  }
}

// The choices of each key from its first place on, and the sorted keys.
kernel void moe_sort_choices(IN(keys), long num_choices, IN(first), OUT(sorted), OUT(sorted_keys),
                             ITEMS) {
  ITEM(key);
  long place = READ(int, first)[key];
  for (long i = 0; i < num_choices; ++i) {
    if (READ(int, keys)[i] != key) continue;
    WRITE(int, sorted)[place] = (int)i;
    WRITE(int, sorted_keys)[place] = (int)key;
    ++place;
  }
}

kernel void moe_plan_rows(IN(sorted), IN(sorted_keys), int num_keys, long top_k, OUT(row_of),
                          OUT(source_of), ITEMS) {
  ITEM(row);
  const int choice = READ(int, sorted)[row];
  const bool is_here = READ(int, sorted_keys)[row] < num_keys;
  WRITE(int, row_of)[choice] = is_here ? (int)row : -1;
  if (is_here) WRITE(int, source_of)[row] = (int)(choice / top_k);
}

// Blocks of experts one after the other; start[expert]: the place of its first. One item. counts:
// how many places each expert has; map: the ids of blocks, none: the experts' own numbers.
kernel void moe_start_blocks(IN(counts), int num_experts, int block_size, IN(map),
                             int drops_foreign, OUT(expert_ids), OUT(start), OUT(post_pad),
                             ITEMS) {
  ITEM(only);
  int block = 0;
  for (int expert = 0; expert < num_experts; ++expert) {
    const int id = map_buffer == 0 ? expert : READ(int, map)[expert];
    const bool is_dropped = drops_foreign && id < 0;
    const int count = is_dropped ? 0 : READ(int, counts)[expert];
    WRITE(int, start)[expert] = is_dropped ? -1 : block * block_size;
    const int end = block + (count + block_size - 1) / block_size;
    for (; block < end; ++block) WRITE(int, expert_ids)[block] = id;
  }
  WRITE(int, post_pad)[0] = block * block_size;
}

kernel void moe_place_in_blocks(IN(sorted), IN(sorted_keys), IN(first), int num_experts, IN(start),
                                OUT(sorted_token_ids), ITEMS) {
  ITEM(i);
  const int expert = READ(int, sorted_keys)[i];
  if (expert >= num_experts || READ(int, start)[expert] < 0) return;
  const long place = READ(int, start)[expert] + i - READ(int, first)[expert];
  WRITE(int, sorted_token_ids)[place] = READ(int, sorted)[i];
}

// Counts that fit into the capacity; others are refused and count as none.
kernel void moe_fitting_counts(IN(counts), long capacity, OUT(fitting), OUT(refusal), ITEMS) {
  ITEM(expert);
  const int count = READ(int, counts)[expert];
  const bool fits = count >= 0 && count <= capacity;
  if (!fits) refuse(WRITE(uchar, refusal), REFUSED_FULL_EXPERT, (int)expert, count, capacity);
  WRITE(int, fitting)[expert] = fits ? count : 0;
}

kernel void moe_place_batched(IN(fitting), long capacity, IN(start), OUT(sorted_token_ids),
                              ITEMS) {
  ITEM(place);
  const long expert = place / capacity;
  const long slot = place % capacity;
  if (slot >= READ(int, fitting)[expert]) return;
  WRITE(int, sorted_token_ids)[READ(int, start)[expert] + slot] = (int)place;
}

// The owners of a token's choices: those so far stand sorted in the token's own slots.
kernel void moe_destination_ranks(IN(ids), long top_k, IN(owners), long num_experts, OUT(ranks),
                                  OUT(refusal), ITEMS) {
  ITEM(token);
  global int *distinct = WRITE(int, ranks) + token * top_k;
  long size = 0;
  for (long k = 0; k < top_k; ++k) {
    const int owner = looked_up(READ(int, owners), num_experts, READ(int, ids)[token * top_k + k],
                                WRITE(uchar, refusal));
    long at = 0;
    while (at < size && distinct[at] < owner) ++at;
    if (owner < 0 || (at < size && distinct[at] == owner)) continue;
    for (long i = size; i > at; --i) distinct[i] = distinct[i - 1];
    distinct[at] = owner;
    ++size;
  }
  for (; size < top_k; ++size) distinct[size] = -1;
}

// Counts have no order, so atomics count.
kernel void moe_count_choices(IN(ids), IN(map), long num_experts, OUT(counts), OUT(refusal),
                              ITEMS) {
  ITEM(i);
  const int slot =
      looked_up(READ(int, map), num_experts, READ(int, ids)[i], WRITE(uchar, refusal));
  if (slot >= 0) atomic_inc((volatile global int *)WRITE(int, counts) + slot);
}

kernel void moe_replace_foreign(OUT(ids), OUT(weights), IN(map), long num_experts, int replacement,
                                OUT(refusal), ITEMS) {
  ITEM(i);
  const int id = WRITE(int, ids)[i];
  if (looked_up(READ(int, map), num_experts, id, WRITE(uchar, refusal)) >= 0) return;
  WRITE(int, ids)[i] = replacement;
  WRITE(float, weights)[i] = 0;
}

kernel void moe_widen_ids(IN(ids), OUT(wide), ITEMS) {
  ITEM(i);
  WRITE(long, wide)[i] = READ(int, ids)[i];
}

kernel void moe_narrow_ids(IN(ids), OUT(narrow), OUT(refusal), ITEMS) {
  ITEM(i);
  const long id = READ(long, ids)[i];
  if (id < INT_MIN || id > INT_MAX) refuse(WRITE(uchar, refusal), REFUSED_ID, 0, id, 0);
  WRITE(int, narrow)[i] = (int)id;
}
