// Threads of our own: they wait briefly for the next call and then sleep, and take tasks as they come free.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace engine {

class Crew;

class Pool {
 public:
  using Work = std::function<void(int64_t task, int64_t thread)>;

  explicit Pool(int64_t threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int64_t threads() const { return threads_; }
  // Calls work(task, thread) once for each task in 0..tasks, the caller being thread 0; returns when all are done.
  void run(int64_t tasks, const Work& work);

 private:
  void forget_the_parents();

  const int64_t threads_;
  int64_t process_ = 0;
  std::unique_ptr<Crew> crew_;
};

}  // namespace engine
