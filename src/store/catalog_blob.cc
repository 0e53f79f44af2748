#include "store/catalog_blob.h"

#include <libdeflate.h>

#include <algorithm>
#include <set>

#include "base/wire.h"
#include "model/catalog_wire.h"

namespace accelmon::store {
namespace {

constexpr uint32_t kFormat = 1;
constexpr uint32_t kMaxRaw = 32u << 20;
constexpr uint32_t kMaxNames = 4096;

template <class Number>
void put_names(WireWriter& w, const std::set<Number>& numbers, std::string_view (*name)(Number)) {
  w.put(static_cast<uint32_t>(numbers.size()));
  for (const Number number : numbers) {
    w.put(static_cast<uint16_t>(number));
    w.text(name(number));
  }
}

std::vector<int32_t> get_names(WireReader& r, int32_t (*number)(std::string_view)) {
  std::vector<int32_t> table;
  const uint32_t n = r.count(kMaxNames, 6);
  for (uint32_t i = 0; i < n && r.ok(); ++i) {
    const auto theirs = r.get<uint16_t>();
    const std::string_view name = r.text(kMaxTextBytes);
    if (theirs >= table.size()) table.resize(theirs + 1u, -1);
    table[theirs] = number(name);
  }
  return table;
}

}  // namespace

std::string pack_catalog(const Catalog& catalog) {
  std::set<MetricId> metrics;
  std::set<AttributeId> attributes;
  for (const Device& device : catalog.devices)
    for (const Attribute& attribute : device.info) attributes.insert(attribute.id);
  for (const Series& series : catalog.series) {
    metrics.insert(series.metric);
    for (const Attribute& attribute : series.attributes) attributes.insert(attribute.id);
  }
  for (const Absence& absence : catalog.absences) metrics.insert(absence.metric);

  std::string raw;
  WireWriter w(raw);
  put_names<MetricId>(w, metrics, [](MetricId id) { return info(id).name; });
  put_names<AttributeId>(w, attributes, [](AttributeId id) { return info(id).key; });
  const size_t generation_at = raw.size();
  encode_catalog(raw, catalog);
  std::fill_n(raw.begin() + static_cast<ptrdiff_t>(generation_at), sizeof(Catalog::generation), '\0');

  std::string out;
  WireWriter head(out);
  head.put(kFormat);
  head.put(static_cast<uint32_t>(raw.size()));
  const size_t at = out.size();
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
  out.resize(at + libdeflate_deflate_compress_bound(compressor, raw.size()));
  const size_t size = libdeflate_deflate_compress(compressor, raw.data(), raw.size(), out.data() + at, out.size() - at);
  libdeflate_free_compressor(compressor);
  out.resize(at + size);
  return out;
}

Result<StoredCatalogPtr> unpack_catalog(std::string_view bytes, uint64_t generation) {
  const auto broken = [] { return fail(Code::invalid, "a catalog in the history is damaged"); };
  WireReader head(bytes);
  const auto format = head.get<uint32_t>();
  const auto size = head.get<uint32_t>();
  // Deflate makes of a byte at most 1032.
  if (!head.ok() || format != kFormat || size > kMaxRaw || size / 1032 > bytes.size()) return broken();
  std::string raw(size, '\0');
  libdeflate_decompressor* decompressor = libdeflate_alloc_decompressor();
  const libdeflate_result result =
      libdeflate_deflate_decompress(decompressor, bytes.data() + 8, bytes.size() - 8, raw.data(), raw.size(), nullptr);
  libdeflate_free_decompressor(decompressor);
  if (result != LIBDEFLATE_SUCCESS) return broken();

  WireReader r(raw);
  CatalogNumbers numbers;
  numbers.metrics = get_names(r, [](std::string_view name) {
    const auto id = find_metric(name);
    return id ? static_cast<int32_t>(*id) : -1;
  });
  numbers.attributes = get_names(r, [](std::string_view key) {
    const auto id = find_attribute(key);
    return id ? static_cast<int32_t>(*id) : -1;
  });
  if (!r.ok()) return broken();
  auto stored = std::make_shared<StoredCatalog>();
  Result<Catalog> catalog = decode_catalog(r.rest(), &numbers, &stored->columns, &stored->column_count);
  if (!catalog) return fail(catalog.error());
  catalog->generation = generation;
  stored->keys.reserve(catalog->series.size());
  for (const Series& series : catalog->series) stored->keys.push_back(series_key(*catalog, series));
  for (uint32_t i = 0; i < stored->keys.size(); ++i) stored->series_of.emplace(stored->keys[i], i);
  stored->catalog = std::make_shared<const Catalog>(std::move(*catalog));
  return StoredCatalogPtr(std::move(stored));
}

}  // namespace accelmon::store
