#include "worker/nanny/cpus.h"

#include <fmt/core.h>
#include <hwloc.h>
#include <sched.h>

#include <climits>
#include <memory>

#include "tegula/error.h"

namespace tegula::worker {

namespace {

struct FreeBitmap {
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, FreeBitmap>;

Bitmap new_bitmap() {
  Bitmap bitmap(hwloc_bitmap_alloc());
  if (bitmap == nullptr) throw std::bad_alloc();
  return bitmap;
}

struct Topology {
  Topology() {
    if (hwloc_topology_init(&handle) != 0) throw Error(ErrorCode::kInternal, "hwloc cannot be used");
    if (hwloc_topology_load(handle) != 0) {
      hwloc_topology_destroy(handle);
      throw Error(ErrorCode::kInternal, "hwloc cannot tell the machine's processors");
    }
  }
  ~Topology() { hwloc_topology_destroy(handle); }
  hwloc_topology_t handle = nullptr;
};

std::string text_of(const Bitmap& bitmap) {
  char text[1024];
  hwloc_bitmap_list_snprintf(text, sizeof(text), bitmap.get());
  return text;
}

Bitmap usable() {
  Bitmap bitmap = new_bitmap();
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) throw Error(ErrorCode::kInternal, "cannot tell the affinity");
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) hwloc_bitmap_set(bitmap.get(), cpu);
  }
  return bitmap;
}

Bitmap wanted_cpus(const std::string& text) {
  Bitmap all = usable();
  if (text == "auto") return all;
  Bitmap wanted = new_bitmap();
  // hwloc would take "3-" for all from 3 on, and words for nothing.
  if (text.find_first_not_of("0123456789,-") != std::string::npos || text.back() == '-' || text.back() == ',' ||
      hwloc_bitmap_list_sscanf(wanted.get(), text.c_str()) != 0 || hwloc_bitmap_iszero(wanted.get())) {
    throw ConfigError("worker.cpus: '" + text + "' is neither a list such as 0-3,8 nor auto");
  }
  if (!hwloc_bitmap_isincluded(wanted.get(), all.get())) {
    throw ConfigError(fmt::format("worker.cpus: of {} only {} may be used here", text, text_of(all)));
  }
  return wanted;
}

}  // namespace

std::vector<std::vector<unsigned>> divide_cpus(const std::string& text, unsigned workers) {
  std::vector<std::vector<unsigned>> parts(workers);
  if (text.empty() || workers == 0) return parts;
  const Bitmap wanted = wanted_cpus(text);
  Topology topology;
  if (hwloc_topology_restrict(topology.handle, wanted.get(), 0) != 0) {
    throw ConfigError("worker.cpus: this machine has none of " + text_of(wanted));
  }
  std::vector<hwloc_cpuset_t> sets(workers, nullptr);  // hwloc allocates them
  hwloc_obj_t root = hwloc_get_root_obj(topology.handle);
  const int divided = hwloc_distrib(topology.handle, &root, 1, sets.data(), workers, INT_MAX, 0);
  const std::vector<Bitmap> owned(sets.begin(), sets.end());
  if (divided != 0) throw Error(ErrorCode::kInternal, "hwloc cannot divide the processors");
  for (unsigned i = 0; i < workers; ++i) {
    for (int cpu = hwloc_bitmap_first(sets[i]); cpu >= 0; cpu = hwloc_bitmap_next(sets[i], cpu)) {
      parts[i].push_back(static_cast<unsigned>(cpu));
    }
  }
  return parts;
}

bool bind_to(const std::vector<unsigned>& cpus) {
  if (cpus.empty()) return true;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const unsigned cpu : cpus) CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

}  // namespace tegula::worker
