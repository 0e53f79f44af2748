// Objects that one thread fills, many threads read, and that are then used again: publication without allocation.
//
// Recycler<T>::take() gives an object that nobody else holds, reusing one that came back where it can. Hand it out as
// Ref<const T> copies; when the last one is dropped the object returns to the recycler, its buffers still grown.
// A Ref may outlive its Recycler (the core is shared).
// Threads: take() and the Refs may be used from any thread; the object itself is written before it is handed out only.
// Cost: one short lock per take and per last drop; an allocation only when more objects are in use than ever before.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace accelmon {

template <class T>
class Recycler {
  struct Core;
  struct Node {
    T object{};
    std::atomic<uint32_t> references{0};
    std::shared_ptr<Core> core;  // set while handed out, so that the core outlives its last object
  };
  struct Core {
    std::mutex mutex;
    std::vector<std::unique_ptr<Node>> idle;
  };

 public:
  class Ref {
   public:
    Ref() = default;
    Ref(const Ref& other) : node_(other.node_) {
      if (node_ != nullptr) node_->references.fetch_add(1, std::memory_order_relaxed);
    }
    Ref(Ref&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
      std::swap(node_, other.node_);
      return *this;
    }
    ~Ref() { drop(); }

    explicit operator bool() const { return node_ != nullptr; }
    T& operator*() const { return node_->object; }
    T* operator->() const { return &node_->object; }
    T* get() const { return node_ != nullptr ? &node_->object : nullptr; }

   private:
    friend class Recycler;
    explicit Ref(Node* node) : node_(node) {}
    void drop() {
      Node* node = std::exchange(node_, nullptr);
      if (node == nullptr || node->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
      const std::shared_ptr<Core> core = std::move(node->core);
      const std::lock_guard lock(core->mutex);
      core->idle.emplace_back(node);
    }
    Node* node_ = nullptr;
  };

  Recycler() : core_(std::make_shared<Core>()) {}

  Ref take() {
    std::unique_ptr<Node> node;
    {
      const std::lock_guard lock(core_->mutex);
      if (!core_->idle.empty()) {
        node = std::move(core_->idle.back());
        core_->idle.pop_back();
      } else {
        // Room for every object ever made, so that a drop never allocates.
        ++made_;
        core_->idle.reserve(made_);
      }
    }
    if (node == nullptr) node = std::make_unique<Node>();
    node->core = core_;
    node->references.store(1, std::memory_order_relaxed);
    return Ref(node.release());
  }

 private:
  std::shared_ptr<Core> core_;
  size_t made_ = 0;
};

template <class T>
using Recycled = typename Recycler<T>::Ref;

}  // namespace accelmon
