// The border between C++ and the kernel interface: no exception crosses it.
#pragma once

#include <exception>
#include <new>
#include <span>

#include "tegula/error.h"
#include "tegula/kernel.h"

namespace tegula::cpu {

inline int report(tegula_context* context, int code, const char* message) noexcept {
  if (context != nullptr && context->fail != nullptr) context->fail(context, message);
  return code;
}

// Runs `body` and turns what it throws into a code and a message.
template <typename Body>
int guarded(tegula_context* context, Body&& body) noexcept {
  try {
    body();
    return TEGULA_OK;
  } catch (const Error& error) {
    const int code = static_cast<int>(error.code());
    return report(context, code == TEGULA_OK ? static_cast<int>(TEGULA_EFAILED) : code, error.what());
  } catch (const std::bad_alloc&) {
    return report(context, TEGULA_ENOMEM, "out of memory in a kernel");
  } catch (const std::exception& error) {
    return report(context, TEGULA_EFAILED, error.what());
  }
}

inline bool is_cancelled(tegula_context* context) {
  return context != nullptr && context->cancelled != nullptr && context->cancelled(context) != 0;
}

inline std::span<const std::byte> bytes_of(const void* params, std::size_t size) {
  return {static_cast<const std::byte*>(params), size};
}

// prepare and release of a kernel whose parameters decode to one T.
template <typename T, typename Make>
int prepare_as(void** prepared, tegula_context* context, Make&& make) noexcept {
  *prepared = nullptr;
  return guarded(context, [&] { *prepared = new T(make()); });
}
template <typename T>
void release_as(void* prepared) {
  delete static_cast<T*>(prepared);
}

}  // namespace tegula::cpu
