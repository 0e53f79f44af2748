#include "agent/api_worker.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <exception>

#include "agent/api_json.h"
#include "base/log.h"
#include "base/text.h"

namespace accelmon {

struct ApiWorker::Task final : HttpLater {
  explicit Task(Job what) : job(std::move(what)) {}

  bool take(HttpResponse& out) override {
    const std::lock_guard lock(mutex);
    if (!done) return false;
    out = std::move(response);
    return true;
  }
  void finish(HttpResponse answer) {
    const std::lock_guard lock(mutex);
    response = std::move(answer);
    done = true;
  }

  Job job;
  std::mutex mutex;
  bool done = false;
  HttpResponse response;
};

std::shared_ptr<HttpLater> ApiWorker::submit(Job job) {
  const std::lock_guard lock(mutex_);
  if (stopped_ || waiting_.size() + (busy_ ? 1 : 0) >= kMaxJobs) return nullptr;
  if (!started_) {
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = ::pthread_create(&thread_, nullptr, &ApiWorker::thread_main, this);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) return nullptr;
    ::pthread_setname_np(thread_, "api");
    started_ = true;
  }
  auto task = std::make_shared<Task>(std::move(job));
  waiting_.push_back(task);
  changed_.notify_one();
  return task;
}

void ApiWorker::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (const auto& task : waiting_)
      task->finish(api_error(503, "the agent is stopping", "ask again when it is back"));
    waiting_.clear();
    if (!started_) return;
    started_ = false;
  }
  changed_.notify_all();
  ::pthread_join(thread_, nullptr);
}

void* ApiWorker::thread_main(void* self) {
  // Linux has a nice value for each thread. Questions of people must not cost the collectors' polls anything.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 10);
  static_cast<ApiWorker*>(self)->work();
  return nullptr;
}

void ApiWorker::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    const std::shared_ptr<Task> task = std::move(waiting_.front());
    waiting_.pop_front();
    // Here and with the connection: who alone holds it is not waited for.
    const auto wanted = [&task] { return task.use_count() > 1; };
    if (!wanted()) continue;
    busy_ = true;
    lock.unlock();
    HttpResponse answer;
    try {
      answer = task->job(wanted);
    } catch (const std::exception& error) {
      log(LogLevel::error, "api", "unexpected: " + printable(error.what()));
      answer = api_error(500, "internal error", "the agent's log has more");
    }
    task->job = nullptr;
    task->finish(std::move(answer));
    wake_();
    lock.lock();
    busy_ = false;
  }
}

}  // namespace accelmon
