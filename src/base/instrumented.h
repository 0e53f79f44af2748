// Which sanitizer this is compiled with: GCC and Clang say it in different ways.
//
// ACCELMON_ADDRESS_SANITIZER: memory is bigger, allocations and preloaded libraries are the sanitizer's.
// ACCELMON_INSTRUMENTED: any sanitizer that makes frames and address spaces several times larger.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define ACCELMON_ADDRESS_SANITIZER
#elif defined(__SANITIZE_THREAD__)
#define ACCELMON_INSTRUMENTED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ACCELMON_ADDRESS_SANITIZER
#elif __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define ACCELMON_INSTRUMENTED
#endif
#endif
#ifdef ACCELMON_ADDRESS_SANITIZER
#define ACCELMON_INSTRUMENTED
#endif
