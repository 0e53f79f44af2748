// Which sanitizer this is compiled with: GCC and Clang say it in different ways.
//
// ACCELMON_ADDRESS_SANITIZER: memory is bigger, allocations and preloaded libraries are the sanitizer's.
// ACCELMON_THREAD_SANITIZER: there is a thread of its own.
// ACCELMON_INSTRUMENTED: any sanitizer that makes frames and address spaces several times larger.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define ACCELMON_ADDRESS_SANITIZER
#elif defined(__SANITIZE_THREAD__)
#define ACCELMON_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ACCELMON_ADDRESS_SANITIZER
#elif __has_feature(thread_sanitizer)
#define ACCELMON_THREAD_SANITIZER
#elif __has_feature(memory_sanitizer)
#define ACCELMON_INSTRUMENTED
#endif
#endif
#if defined(ACCELMON_ADDRESS_SANITIZER) || defined(ACCELMON_THREAD_SANITIZER)
#define ACCELMON_INSTRUMENTED
#endif
