// One thread that makes the answers which take longer than the HTTP server's thread may wait.
//
// Bounded: kMaxJobs wait or are worked on, further ones are refused. A job whose client has gone is not begun, and may
// ask whether it is still wanted. The thread is made for the first job, its signals are blocked, its priority is lower
// than the agent's. Threads: submit() by one, stop() by any.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "net/http_server.h"

namespace accelmon {

class ApiWorker {
 public:
  static constexpr size_t kMaxJobs = 8;
  using Wanted = std::function<bool()>;
  using Job = std::function<HttpResponse(const Wanted& wanted)>;

  // `wake` is called when an answer is there, in the worker's thread.
  explicit ApiWorker(std::function<void()> wake) : wake_(std::move(wake)) {}
  ~ApiWorker() { stop(); }
  ApiWorker(const ApiWorker&) = delete;
  ApiWorker& operator=(const ApiWorker&) = delete;

  // nullptr: too many wait, or it is stopped, or there can be no thread.
  std::shared_ptr<HttpLater> submit(Job job);
  // Waits for the running job; those that wait are answered with 503.
  void stop();

 private:
  struct Task;
  static void* thread_main(void* self);
  void work();

  std::function<void()> wake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Task>> waiting_;
  bool busy_ = false;
  bool stopped_ = false;
  bool started_ = false;
  pthread_t thread_{};
};

}  // namespace accelmon
