#include "transformer/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#ifndef _WIN32
#include <unistd.h>
#endif

namespace transformer {
namespace {

// Rounds of yielding before a thread sleeps: a few tens of microseconds, less than waking costs, and
// no more than that is taken from another process that needs the core.
constexpr int kSpinRounds = 200;

int64_t this_process() {
#ifdef _WIN32
  return 1;
#else
  return getpid();
#endif
}

}  // namespace

// The threads other than the caller's, and how they learn of work.
class Workers {
 public:
  explicit Workers(int64_t helpers) {
    threads_.reserve(helpers);
    try {
      for (int64_t helper = 0; helper < helpers; helper++)
        threads_.emplace_back([this, helper] { serve(helper + 1); });
    } catch (const std::system_error&) {
      // The system gives no more threads: those there are do the work.
    }
  }

  ~Workers() {
    closing_ = true;
    announce();
    for (std::thread& thread : threads_) thread.join();
  }

  void run(int64_t tasks, const ThreadPool::Work& work) {
    work_ = &work;
    tasks_ = tasks;
    next_ = 0;
    busy_ = static_cast<int64_t>(threads_.size());
    announce();
    take_tasks(0);
    const auto all_done = [this] { return busy_.load(std::memory_order_acquire) == 0; };
    if (!spins_until(all_done)) {
      std::unique_lock<std::mutex> lock(mutex_);
      all_done_.wait(lock, all_done);
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  template <typename Happened> static bool spins_until(const Happened& happened) {
    for (int round = 0; round < kSpinRounds; round++) {
      if (happened()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  void announce() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      turn_++;
    }
    wake_.notify_all();
  }

  void take_tasks(int64_t thread) {
    try {
      for (int64_t task = next_++; task < tasks_; task = next_++) (*work_)(task, thread);
    } catch (...) {
      // Memory may run out. The caller learns of it when the others are done, as they still use its arrays.
      next_ = tasks_;
      std::lock_guard<std::mutex> lock(mutex_);
      failure_ = std::current_exception();
    }
  }

  void serve(int64_t thread) {
    uint64_t seen = 0;
    while (true) {
      const auto called = [&] { return turn_.load(std::memory_order_acquire) != seen; };
      if (!spins_until(called)) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, called);
      }
      seen = turn_.load(std::memory_order_acquire);
      if (closing_) return;
      take_tasks(thread);
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard<std::mutex> lock(mutex_);
        all_done_.notify_one();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, all_done_;
  std::atomic<uint64_t> turn_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int64_t> busy_{0};
  std::atomic<bool> closing_{false};
  int64_t tasks_ = 0;
  const ThreadPool::Work* work_ = nullptr;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;  // last: they use all the others
};

ThreadPool::ThreadPool(int64_t threads) : threads_(threads < 1 ? 1 : threads) {}

ThreadPool::~ThreadPool() { abandon_parent_threads(); }

void ThreadPool::run(int64_t tasks, const Work& work) {
  if (threads_ == 1 || tasks < 2) {
    for (int64_t task = 0; task < tasks; task++) work(task, 0);
    return;
  }
  abandon_parent_threads();
  if (!workers_) {
    process_ = this_process();
    workers_ = std::make_unique<Workers>(threads_ - 1);
  }
  workers_->run(tasks, work);
}

// Threads do not survive a fork. A child must not touch its parent's threads: not join or wake them, nor free what they
// wait on.
void ThreadPool::abandon_parent_threads() {
  if (workers_ && process_ != this_process()) static_cast<void>(workers_.release());
}

}  // namespace transformer
