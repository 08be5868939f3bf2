// Threads of our own: they wait briefly for the next call and then sleep, and take tasks as they come free.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace transformer {

class Workers;

class ThreadPool {
 public:
  using Work = std::function<void(int64_t task, int64_t thread)>;

  explicit ThreadPool(int64_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int64_t threads() const { return threads_; }
  // Calls work(task, thread) once for each task in 0..tasks, the caller being thread 0; returns when all are done.
  void run(int64_t tasks, const Work& work);

 private:
  void abandon_parent_threads();

  const int64_t threads_;
  int64_t process_ = 0;
  std::unique_ptr<Workers> workers_;
};

}  // namespace transformer
