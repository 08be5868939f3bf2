// Threads: every task once, however many there are of either.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "check.h"
#include "transformer/thread_pool.h"

namespace {

// Whether each of `tasks` was done once, by a thread that exists and did no other at the time.
bool each_once(transformer::ThreadPool& pool, int64_t tasks) {
  std::vector<std::atomic<int>> done(tasks), busy(pool.threads());
  std::atomic<bool> right{true};
  pool.run(tasks, [&](int64_t task, int64_t thread) {
    if (task < 0 || task >= tasks || thread < 0 || thread >= pool.threads()) {
      right = false;
      return;
    }
    if (busy[thread]++) right = false;
    done[task]++;
    busy[thread]--;
  });
  for (const std::atomic<int>& each : done) right = right && each == 1;
  return right;
}

PROPERTY("every task is done once, with any number of threads and of tasks, run after run") {
  for (int64_t threads = 0; threads <= 5; threads++) {
    transformer::ThreadPool pool(threads);
    check::holds(pool.threads() == (threads ? threads : 1), "%d threads", int(pool.threads()));
    for (int turn = 0; turn < 150; turn++)
      for (const int64_t tasks : {0, 1, 2, 3, 4, 7, 40})
        check::holds(each_once(pool, tasks), "%d threads, %d tasks", int(threads), int(tasks));
  }
}

PROPERTY("what a task writes is there after the run, and threads that slept come back") {
  transformer::ThreadPool pool(4);
  for (int turn = 0; turn < 20; turn++) {
    std::vector<int64_t> squares(1000);
    pool.run(squares.size(), [&](int64_t task, int64_t) { squares[task] = task * task; });
    bool right = true;
    for (int64_t i = 0; i < 1000; i++) right = right && squares[i] == i * i;
    check::holds(right, "turn %d", turn);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

PROPERTY("pools that were never used, used once, or come and go end in peace") {
  for (int turn = 0; turn < 50; turn++) {
    transformer::ThreadPool idle(3), used(3);
    check::holds(each_once(used, 5), "turn %d", turn);
  }
}

PROPERTY("a task that throws ends the run, not the program, and the pool goes on") {
  for (const int64_t threads : {1, 4}) {
    transformer::ThreadPool pool(threads);
    for (int turn = 0; turn < 50; turn++) {
      bool thrown = false;
      try {
        pool.run(20, [&](int64_t task, int64_t) {
          if (task == turn % 20) throw std::bad_alloc();
        });
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      check::holds(thrown, "%d threads, turn %d", int(threads), turn);
      check::holds(each_once(pool, 9), "%d threads, after turn %d", int(threads), turn);
    }
  }
}

PROPERTY("a forked child uses its parent's pool and gives it back, as the parent does") {
  for (int turn = 0; turn < 20; turn++) {
    auto pool = std::make_unique<transformer::ThreadPool>(4);
    check::holds(each_once(*pool, 30), "parent before");
    // Threads are asleep, awake or on their way.
    if (turn % 3) std::this_thread::sleep_for(std::chrono::milliseconds(turn % 3));
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      bool right = true;
      if (turn % 2 == 0)
        for (int i = 0; i < 10; i++) right = right && each_once(*pool, 30);
      pool.reset();
      _exit(right ? 0 : 1);
    }
    check::holds(each_once(*pool, 30), "parent after");
    int status = -1;
    check::holds(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
                 "child of turn %d ended with %d", turn, status);
  }
}

}  // namespace
