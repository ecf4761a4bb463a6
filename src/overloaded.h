// Several lambdas as one visitor: std::visit(Overloaded{[](int) {}, [](auto&) {}}, value).
#pragma once

namespace tegula {

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;  // clang 16 does not deduce it by itself

}  // namespace tegula
