// All of Tegula's C++ interface.
#pragma once

#include "tegula/array.h"
#include "tegula/client.h"
#include "tegula/dtype.h"
#include "tegula/error.h"
#include "tegula/host_array.h"
#include "tegula/local_cluster.h"
