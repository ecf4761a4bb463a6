// tegula-worker's main function, in the library so that main.cc stays a line.
#pragma once

namespace tegula {

// Exit status 0: ended in order (a signal, or sent away by the scheduler); 1: could not join, or lost the scheduler for
// good; 2: wrong flag or configuration.
int worker_main(int argc, char** argv);

}  // namespace tegula
