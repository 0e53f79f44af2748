#include "app/app.h"

int main(int argc, char** argv) {
  return accelmon::run_app(argc, argv);
}
