#include "tegula/host_array.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "src/shape.h"
#include "tests/support/bits.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using testing::HasSubstr;

template <typename T>
HostArray of(Shape shape, std::initializer_list<T> values) {
  HostArray array(dtype_of<T>, std::move(shape));
  std::copy(values.begin(), values.end(), array.span<T>().begin());
  return array;
}

TEST(HostArray, TypedAccess) {
  HostArray x = of<std::int32_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(x.view<std::int32_t>()(1, 0), 4);
  EXPECT_EQ(x.span<std::int32_t>().back(), 6);
  EXPECT_EQ(x.nbytes(), 24u);
  EXPECT_EQ(of<std::int32_t>({1, 1}, {7}).item<double>(), 7.0);
  EXPECT_EQ(of<std::complex<float>>({}, {{1, 2}}).item<std::complex<double>>(), std::complex<double>(1, 2));
  try {
    x.view<float>();
    FAIL();
  } catch (const DTypeError& error) {
    EXPECT_STREQ(error.what(), "view of int32 as float32");
  }
  try {
    (void)x.item<int>();
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_THAT(error.what(), HasSubstr("(2, 3)"));
  }
  // Copies share.
  const HostArray same = x;
  x.span<std::int32_t>()[0] = 9;
  EXPECT_EQ(same.span<std::int32_t>()[0], 9);
}

// Expected texts are NumPy's own output.
TEST(HostArray, PrintsAsNumPy) {
  EXPECT_EQ(to_string(of<double>({3}, {1, 2.5, -3})), "[ 1.   2.5 -3. ]");
  EXPECT_EQ(to_string(of<double>({2}, {1, 2})), "[1. 2.]");
  EXPECT_EQ(to_string(of<double>({3}, {0.1, 1.0 / 3, 2})), "[0.1        0.33333333 2.        ]");
  EXPECT_EQ(to_string(of<double>({2}, {1e-10, 1})), "[1.e-10 1.e+00]");
  EXPECT_EQ(to_string(of<double>({2}, {123456789.0, 0.5})), "[1.23456789e+08 5.00000000e-01]");
  EXPECT_EQ(to_string(of<double>({3}, {NAN, INFINITY, 1})), "[nan inf  1.]");
  EXPECT_EQ(to_string(of<double>({3}, {-INFINITY, 1.5, NAN})), "[-inf  1.5  nan]");
  EXPECT_EQ(to_string(of<float>({2}, {0.1f, 16777216.0f})), "[1.0000000e-01 1.6777216e+07]");
  EXPECT_EQ(to_string(of<std::int64_t>({2, 2}, {1, -20, 300, 4})), "[[  1 -20]\n [300   4]]");
  EXPECT_EQ(to_string(of<bool>({2}, {true, false})), "[ True False]");
  EXPECT_EQ(to_string(of<std::complex<double>>({2}, {{1, 2}, {-0.5, -1}})), "[ 1. +2.j -0.5-1.j]");
  EXPECT_EQ(to_string(of<std::int8_t>({1, 2, 2}, {1, 2, 3, 4})), "[[[1 2]\n  [3 4]]]");
  EXPECT_EQ(to_string(of<std::int8_t>({2, 1, 2}, {1, 2, 3, 4})), "[[[1 2]]\n\n [[3 4]]]");
  EXPECT_EQ(to_string(HostArray(DType::kFloat64, {0, 3})), "[]");
}

TEST(HostArray, SingleValuesHaveAllDigits) {
  EXPECT_EQ(to_string(of<double>({}, {1})), "1.0");
  EXPECT_EQ(to_string(of<double>({}, {0.1 + 0.2})), "0.30000000000000004");
  EXPECT_EQ(to_string(of<double>({}, {1e300})), "1e+300");
  EXPECT_EQ(to_string(of<float>({}, {0.1f})), "0.1");
  EXPECT_EQ(to_string(of<std::int64_t>({}, {-7})), "-7");
  EXPECT_EQ(to_string(of<bool>({}, {true})), "True");
  EXPECT_EQ(to_string(of<std::complex<double>>({}, {{1, -2}})), "(1-2j)");
}

TEST(HostArray, LongArraysAreAbbreviatedAndWrapped) {
  HostArray x(DType::kInt64, {2000});
  for (std::int64_t i = 0; i < 2000; ++i) x.span<std::int64_t>()[static_cast<std::size_t>(i)] = i;
  EXPECT_EQ(to_string(x), "[   0    1    2 ... 1997 1998 1999]");
  HostArray square(DType::kFloat64, {100, 100});
  EXPECT_EQ(to_string(square),
            "[[0. 0. 0. ... 0. 0. 0.]\n [0. 0. 0. ... 0. 0. 0.]\n [0. 0. 0. ... 0. 0. 0.]\n ...\n"
            " [0. 0. 0. ... 0. 0. 0.]\n [0. 0. 0. ... 0. 0. 0.]\n [0. 0. 0. ... 0. 0. 0.]]");
  HostArray row(DType::kInt64, {30});
  for (std::int64_t i = 0; i < 30; ++i) row.span<std::int64_t>()[static_cast<std::size_t>(i)] = i;
  EXPECT_EQ(to_string(row),
            "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n 24 25 26 27 28 29]");
  HostArray rows(DType::kInt64, {2, 30});
  for (std::int64_t i = 0; i < 60; ++i) rows.span<std::int64_t>()[static_cast<std::size_t>(i)] = i + 90;
  EXPECT_EQ(to_string(rows),
            "[[ 90  91  92  93  94  95  96  97  98  99 100 101 102 103 104 105 106 107\n"
            "  108 109 110 111 112 113 114 115 116 117 118 119]\n"
            " [120 121 122 123 124 125 126 127 128 129 130 131 132 133 134 135 136 137\n"
            "  138 139 140 141 142 143 144 145 146 147 148 149]]");
}

TEST(HostArray, NoBlanksEndALine) {
  HostArray x(DType::kFloat64, {30});
  for (std::size_t i = 0; i < 30; ++i) x.span<double>()[i] = i % 2 == 0 ? 2.5 : 1;
  EXPECT_EQ(to_string(x),
            "[2.5 1.  2.5 1.  2.5 1.  2.5 1.  2.5 1.  2.5 1.  2.5 1.  2.5 1.  2.5 1.\n"
            " 2.5 1.  2.5 1.  2.5 1.  2.5 1.  2.5 1.  2.5 1. ]");
}

TEST(HostArray, ShapesOfTooManyBytesAreRefused) {
  EXPECT_THROW(HostArray(DType::kComplex128, {std::int64_t{1} << 61}), ShapeError);  // 2^65 bytes
  EXPECT_THROW(HostArray(DType::kFloat64, {-1}), ShapeError);
  double number = 0;
  EXPECT_THROW(HostArray(DType::kComplex128, {std::int64_t{1} << 60}, nullptr, &number), ShapeError);
}

TEST(HostArray, NpyFilesRoundTrip) {
  const test::TemporaryDirectory directory;
  const HostArray x = of<double>({2, 3}, {1, 2, 3, 4, 5, NAN});
  x.save_npy(directory.file("x.npy"));
  EXPECT_EQ(test::bits_of(HostArray::load_npy(directory.file("x.npy"))), test::bits_of(x));
  of<std::int16_t>({}, {5}).save_npy(directory.file("x.npy"));  // replaces
  EXPECT_EQ(HostArray::load_npy(directory.file("x.npy")).item<int>(), 5);
  HostArray(DType::kBool, {0, 4}).save_npy(directory.file("empty.npy"));
  EXPECT_EQ(HostArray::load_npy(directory.file("empty.npy")).shape(), (Shape{0, 4}));
  EXPECT_THROW(HostArray::load_npy(directory.file("none.npy")), FileError);
  EXPECT_THROW(x.save_npy(directory.file("no/folder.npy")), FileError);
  EXPECT_THROW(x.save_npy(directory.path()), FileError);
}

void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string npy(const std::string& header, const std::string& data) {
  std::string text = header + std::string((64 - (10 + header.size() + 1) % 64) % 64, ' ') + "\n";
  std::string file = "\x93NUMPY";
  file += '\1';
  file += '\0';
  file += static_cast<char>(text.size() & 0xff);
  file += static_cast<char>(text.size() >> 8);
  return file + text + data;
}

TEST(HostArray, FortranOrderAndSwappedBytes) {
  const test::TemporaryDirectory directory;
  // 2 x 3 big-endian int16 in Fortran order: columns (1, 4), (2, 5), (3, 6).
  write_file(directory.file("f.npy"), npy("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }",
                                          std::string("\0\1\0\4\0\2\0\5\0\3\0\6", 12)));
  const HostArray x = HostArray::load_npy(directory.file("f.npy"));
  EXPECT_THAT(x.span<std::int16_t>(), testing::ElementsAre(1, 2, 3, 4, 5, 6));
}

}  // namespace
}  // namespace tegula
