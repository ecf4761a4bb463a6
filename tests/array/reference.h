// What an expression means, computed the slow and obvious way: node by node, element by element, without chunks, plans
// or kernels. Covers what random_expressions.h makes.
#pragma once

#include "array/expression.h"
#include "tegula/client.h"
#include "tegula/host_array.h"

namespace tegula::test {

// `client` is only asked for the values of random sources, each as one chunk.
HostArray evaluate(const detail::ExpressionPtr& expression, const Client& client);

}  // namespace tegula::test
