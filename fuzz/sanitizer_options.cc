// libFuzzer brings libstdc++ in before the sanitizer's library, which would refuse to start so.
extern "C" __attribute__((used, visibility("default"))) const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "verify_asan_link_order=0";
}
