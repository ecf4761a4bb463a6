// Which types a std::variant holds.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

namespace tegula {

template <typename T, typename Variant>
inline constexpr bool is_alternative = false;
template <typename T, typename... Alternatives>
inline constexpr bool is_alternative<T, std::variant<Alternatives...>> = (std::is_same_v<T, Alternatives> || ...);

// Any of the alternatives, by value or reference.
template <typename T, typename Variant>
concept OneOf = is_alternative<std::remove_cvref_t<T>, Variant>;

}  // namespace tegula
