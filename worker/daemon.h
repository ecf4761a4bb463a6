// tegula-worker's main function, in the library so that main.cc stays a line.
#pragma once

namespace tegula {

// Returns one of worker/nanny/exit_status.h, of which a nanny and a worker without one return only the first four.
int worker_main(int argc, char** argv);

}  // namespace tegula
