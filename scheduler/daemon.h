// tegula-scheduler's main function, in the library so that main.cc stays a line.
#pragma once

namespace tegula {

// Exit status 0: ended in order; 1: could not start (port in use); 2: wrong flag or configuration.
int scheduler_main(int argc, char** argv);

}  // namespace tegula
