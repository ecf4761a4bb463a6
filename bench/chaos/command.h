// `tegula-bench chaos`: does a cluster survive?
#pragma once

namespace tegula::chaos {

int run_command(int argc, char** argv);

}  // namespace tegula::chaos
