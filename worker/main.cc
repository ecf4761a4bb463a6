#include "worker/daemon.h"

int main(int argc, char** argv) { return tegula::worker_main(argc, argv); }
