// A program as a user writes it: public headers only, a cluster inside this process.
#include <tegula/tegula.h>

#include <cmath>
#include <cstdlib>
#include <iostream>

namespace {

void expect(bool holds, const char* what) {
  if (holds) return;
  std::cerr << "consumer: expected " << what << '\n';
  std::exit(1);
}

}  // namespace

int main() {
  using namespace tegula;
  Client client;

  const Array ones = tegula::ones({1000, 1000}, {250, 400});
  const double exact = (ones + 1)(slice(_, _, 2), slice(_, _, 2)).sum().compute(client).item<double>();
  expect(exact == 500000.0, "500000 as the sum of 250000 twos");

  const Array x = random::normal(10, 1, {1000, 1000}, {250, 250});
  const double total = (x + 1)(slice(_, _, 2), slice(_, _, 2)).sum().compute(client).item<double>();
  expect(std::abs(total / 250000 - 11) < 0.02, "a mean of about 11");

  bool thrown = false;
  try {
    (void)(ones + tegula::ones({3}));
  } catch (const Error& error) {  // an exception that crosses the library's border is still caught by its type
    thrown = true;
  }
  expect(thrown, "an error for shapes that don't broadcast");
  std::cout << "consumer: " << exact << ' ' << total << '\n';
}
