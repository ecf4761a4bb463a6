#include "scheduler/daemon.h"

int main(int argc, char** argv) { return tegula::scheduler_main(argc, argv); }
