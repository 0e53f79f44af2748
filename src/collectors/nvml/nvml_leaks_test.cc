// The simulated library never destroys its state, as a thread may still be inside at the end. When it is unloaded that
// state looks leaked; what was allocated within its calls is therefore not the collector's to answer for.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:accelmon::nvml::Library::call<\n"
         "leak:accelmon::nvml::EventWatch::run\n"
         "leak:accelmon::DynamicLibrary::open\n";
}
